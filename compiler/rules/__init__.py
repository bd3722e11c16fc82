"""Kernels and their loop orders: TE definitions with packed weights, and rules that schedule them."""
