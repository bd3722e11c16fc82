"""From bytes to tensors and back."""
