"""Common subexpressions inside a kernel, computed once."""
