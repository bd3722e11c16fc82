"""Candidates in the shape of instance types, and how they are measured."""
