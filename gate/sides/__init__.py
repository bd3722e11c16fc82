"""What `--baseline` and `--candidate` name, resolved."""
