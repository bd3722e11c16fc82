"""HDR histograms of microseconds: one way to make them, wherever they stand."""

from __future__ import annotations

import numpy as np
from hdrh.histogram import HdrHistogram

from modeldyno.loadgen.stats.recording import US_PER_S, Ints

HDR_LOWEST_US = 1
HDR_HIGHEST_US = 3600 * US_PER_S
HDR_DIGITS = 3


def encode_histogram(values_us: Ints) -> str:
    """HDR histogram (1 us to 1 h, 3 significant digits) in the V2 compressed format, base64."""
    histogram = HdrHistogram(HDR_LOWEST_US, HDR_HIGHEST_US, HDR_DIGITS)
    for value, count in zip(*np.unique(values_us, return_counts=True), strict=True):
        histogram.record_value(min(int(value), HDR_HIGHEST_US), int(count))
    encoded: bytes = histogram.encode()
    return encoded.decode("ascii")
