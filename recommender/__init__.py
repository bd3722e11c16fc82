"""Measure candidate configurations of a model, side by side or in rounds, and rank them by cost."""
