"""What a path holds: its kind, the files that its server reads, and a digest over them."""
