"""The inputs of a run: parquet files as prompts, models, adapters."""
