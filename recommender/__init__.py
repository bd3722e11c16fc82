"""Measure candidate configurations of a model one after another and rank them by cost."""
