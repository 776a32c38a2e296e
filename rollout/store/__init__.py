"""The run directory: logs, parts, the published file, what may be overwritten."""
