"""Locustfiles to run by hand."""
