"""Candidates side by side: servers that are up together, and take turns under load."""
