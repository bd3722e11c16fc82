"""What the model server costs."""
