"""What a job has measured, on disk."""
