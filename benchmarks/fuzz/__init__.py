"""Random models, each checked against its source."""
