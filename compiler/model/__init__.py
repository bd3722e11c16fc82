"""A model as it was read: its source, shapes, graph."""
