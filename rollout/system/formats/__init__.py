"""JSON, YAML and Arrow, read and written so that nothing changes on the way."""
