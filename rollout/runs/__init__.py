"""One run: job, resume, attempt, generation, progress, summary, tracking."""
