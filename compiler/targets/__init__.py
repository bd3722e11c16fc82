"""Processors that artifacts are compiled for."""
