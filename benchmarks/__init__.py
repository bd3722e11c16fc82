"""Side-by-side measurements against peers, and the demo. Each prints a table and can write JSON."""
