"""Problems become a file of prompts: `python -m rollout.prepare`."""
