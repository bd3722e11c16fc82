"""The numbers that a model is written in, and those that compiled code computes with."""
