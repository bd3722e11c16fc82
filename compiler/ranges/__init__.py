"""Models compiled for a range of sizes: one artifact for several shapes."""
