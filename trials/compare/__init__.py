"""Candidates measured side by side: blocks, pairs, and what they tell; pure."""
