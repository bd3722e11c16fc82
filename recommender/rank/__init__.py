"""From measurements to an order."""
