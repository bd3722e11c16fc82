"""Instance types and prices."""
