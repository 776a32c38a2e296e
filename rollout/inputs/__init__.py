"""What a run is given: parquet files of prompts, models, adapters."""
