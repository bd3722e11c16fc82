"""From single requests to figures with their errors."""
