"""Which kernels measured times belong to: written by `python -m tests.replay`, held by a test."""

KERNELS_REVISION = "9db19f8b0b3a1f63"  # digest of every scheduled kernel of the replayed models
