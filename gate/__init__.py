"""A change judged: a candidate against its baseline, measured side by side."""
