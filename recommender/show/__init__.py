"""What is said while a job runs, and at its end."""
