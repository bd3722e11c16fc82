"""Checks in compiled code of what a request brings: indices, divisors."""
