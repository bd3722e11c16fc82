"""Models that the benchmarks and the demo build for themselves: `registry` lists them."""
