"""What a gate found, shown to people and machines: pure functions of its record."""
