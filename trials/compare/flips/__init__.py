"""The statistics of pairs, and their test by turning signs."""
