"""Whether a recommendation is the same one beside a neighbour's work."""
