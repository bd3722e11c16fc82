"""One candidate: compiled, started, loaded, measured."""
