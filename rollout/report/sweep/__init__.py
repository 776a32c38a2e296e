"""A sweep's points, their comparison, and its tables and page."""
