"""What makes the difference: kernels, manifest fields, and the first bad one of many."""
