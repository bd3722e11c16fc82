"""Whole load tests in rounds of drawn order: each candidate's tests once a round, in a new server."""
