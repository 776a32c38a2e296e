"""Sources of problems: files, datasets, and reasoning_gym."""
