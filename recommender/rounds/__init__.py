"""Candidates measured side by side: which of them are one machine here, what came of each."""
