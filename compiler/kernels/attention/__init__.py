"""The attention kernel: its plan, its softmax, its loops."""
