"""One HTTP connection of the load generator."""
