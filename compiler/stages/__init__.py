"""The stages of a compile, in order, for CPUs and for NVIDIA's GPUs."""
