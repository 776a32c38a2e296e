"""Turns problems into a file of prompts: `python -m rollout.prepare`."""
