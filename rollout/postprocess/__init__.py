"""Responses are scored and written as trainers read them: `python -m rollout.postprocess`."""
