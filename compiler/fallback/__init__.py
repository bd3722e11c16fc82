"""Models that TVM compiles in part: where they are cut, and what runs the rest."""
