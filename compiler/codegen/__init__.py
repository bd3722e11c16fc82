"""From scheduled loops to machine code."""
