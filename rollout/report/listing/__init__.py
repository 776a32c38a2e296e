"""The runs and sweeps under a directory: `python -m rollout.ls`."""
