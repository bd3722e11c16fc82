"""Verdicts while pairs come in: what is spent, what is said, what could have been found."""
