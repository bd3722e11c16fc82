"""Latencies of a block in the bins of an HDR histogram: what is judged is what is written down; pure.

The bins are those of `loadgen.stats.hdr` (1 us to 1 h, 3 significant digits): exact up to 2,047 us, at most
0.1 % wide above. Every latency stands for the middle of its bin from the start, so that a verdict from the
records is the verdict of the run.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hdrh.histogram import HdrHistogram

from modeldyno.loadgen.stats.hdr import HDR_HIGHEST_US, HDR_LOWEST_US, encode_histogram

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

EXACT_BITS = 11
"""Values under 2^11 have bins of their own."""


def binned(values_us: npt.ArrayLike) -> Ints:
    """Latencies in microseconds, sorted, each the middle of its bin; below 1 us is 1, above 1 h is 1 h."""
    whole = np.sort(np.clip(np.asarray(values_us, np.int64), HDR_LOWEST_US, HDR_HIGHEST_US))
    # Exact for whole numbers of up to 53 bits.
    bits = np.frexp(whole.astype(np.float64))[1].astype(np.int64)
    shift = np.maximum(bits - EXACT_BITS, 0)
    middle: Ints = (whole >> shift << shift) + (np.left_shift(1, shift) >> 1)
    return middle


def encoded(latency_us: Ints) -> str:
    """As `loadgen.stats.hdr.encode_histogram`."""
    return encode_histogram(latency_us)


def decoded(text: str) -> Ints:
    """What `binned` gave, out of an encoded histogram.

    Raises:
        ValueError: the text is no histogram.
    """
    try:
        histogram = HdrHistogram.decode(text)
    except Exception as error:  # the library raises what its parts raise: zlib, base64, ctypes
        raise ValueError("no HDR histogram in the V2 compressed format") from error
    counts = np.array(histogram.counts, np.int64)
    filled = np.flatnonzero(counts)
    half = 1 << (EXACT_BITS - 1)
    bucket = np.maximum((filled >> (EXACT_BITS - 1)) - 1, 0)
    within = np.where(filled < 2 * half, filled, (filled & (half - 1)) + half)
    return binned(np.repeat(within << bucket, counts[filled]))
