"""Compiled artifacts against the peers."""
