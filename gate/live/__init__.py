"""Both sides measured live, side by side, until there is a verdict or the budget is gone."""
