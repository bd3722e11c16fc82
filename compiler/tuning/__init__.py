"""Choosing kernels by measuring: candidates are run, the fastest is written down and used again."""
