"""Score responses and write them in trainers' formats: `python -m rollout.postprocess`."""
