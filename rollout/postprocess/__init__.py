"""From responses to scores and training files: `python -m rollout.postprocess`."""
