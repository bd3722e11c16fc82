"""Which kernels measured times belong to: written by `python -m tests.replay`, held by a test."""

KERNELS_REVISION = "c5ff6dd2565b20fd"  # digest of every scheduled kernel of the replayed models
