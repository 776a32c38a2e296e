"""Whether a model fits, and what `engine=auto` takes: `python -m rollout.plan`. Loads nothing."""
