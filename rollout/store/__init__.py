"""The run directory: shards, the published file, and what may be overwritten."""
