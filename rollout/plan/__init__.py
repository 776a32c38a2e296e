"""Whether a model fits, and what `engine=auto` chooses: `python -m rollout.plan`. Loads nothing."""
