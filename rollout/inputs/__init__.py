"""What a run is given: parquet files as prompts, models, adapters."""
