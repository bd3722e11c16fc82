"""Which kernels measured times belong to: written by `python -m tests.replay`, held by a test."""

KERNELS_REVISION = "62c5202ae46b36c6"  # digest of every scheduled kernel of the replayed models
