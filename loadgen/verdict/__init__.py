"""Whether a load test's figures may be relied on."""
