"""What is deterministic, judged by rules and without statistics."""
