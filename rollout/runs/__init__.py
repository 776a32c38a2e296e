"""One run: job, standing, attempt, progress, summary, tracking."""
