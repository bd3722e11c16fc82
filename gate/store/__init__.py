"""Baselines by name: copies of what was measured, in one folder that a CI system can cache."""
