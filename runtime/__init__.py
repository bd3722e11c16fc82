"""Loads a compiled artifact and runs it, without a compiler."""
