"""Operating characteristics of side-by-side comparison, simulated."""
