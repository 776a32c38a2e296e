"""The prompts of the demo."""
