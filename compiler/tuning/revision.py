"""Which kernels measured times belong to: written by `python -m tests.replay`, held by a test."""

KERNELS_REVISION = "2db468dded498d1b"  # digest of every scheduled kernel of the replayed models
