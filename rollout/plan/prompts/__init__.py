"""Prompts as the model sees them: chat templates, tokens, lengths."""
