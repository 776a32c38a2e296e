"""Read and write JSON, YAML and Arrow without changing any value."""
