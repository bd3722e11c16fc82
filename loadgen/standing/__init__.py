"""A load generator that stays up: closed loops in short blocks, at one server after another."""
