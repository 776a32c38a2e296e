"""Score responses: one module per scorer, run in worker processes."""
