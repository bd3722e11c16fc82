"""Sessions: a whole model, one of several shapes, one that runs in segments."""
