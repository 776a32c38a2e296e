"""From problems to a file of prompts: `python -m rollout.prepare`."""
