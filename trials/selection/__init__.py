"""Which of many candidates is best: each alone, all in a screening, those that can be best in finals."""
