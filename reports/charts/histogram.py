"""A latency distribution, read from the HDR histogram that a load test saved."""

from __future__ import annotations

import zlib

from hdrh.codec import HdrCookieException, HdrHistogramSettingsException, HdrLengthException
from hdrh.histogram import HdrHistogram

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.load import LoadResult
from modeldyno.base.units import US_PER_MS

# Beyond this, fewer requests than these decide where the curve goes.
FEWEST_ABOVE = 5
_DAMAGED = (
    *(HdrCookieException, HdrHistogramSettingsException, HdrLengthException),
    *(ValueError, IndexError, zlib.error),
)


def quantiles(result: LoadResult) -> tuple[tuple[float, float], ...]:
    """Return (share of requests at most this slow, milliseconds), one pair per filled histogram cell.

    Ends where fewer than FEWEST_ABOVE requests are slower; empty when there are no samples.

    Raises:
        ConfigError: the histogram cannot be decoded.
    """
    if not result.samples or not result.histogram:
        return ()
    found = cells(result.histogram)
    total = sum(count for _, count in found)
    pairs, seen = [], 0
    for value_us, count in found:
        seen += count
        if total - seen < FEWEST_ABOVE:
            break
        pairs.append((seen / total, value_us / US_PER_MS))
    return tuple(pairs)


def cells(encoded: str) -> list[tuple[int, int]]:
    """Return (microseconds, number of requests) of each filled cell, the fastest first.

    Raises:
        ConfigError: the histogram cannot be decoded.
    """
    try:
        histogram = HdrHistogram.decode(encoded)
        recorded = histogram.get_recorded_iterator()
        return [(cell.value_iterated_to, cell.count_added_in_this_iter_step) for cell in recorded]
    except _DAMAGED as error:
        raise ConfigError(
            f"a histogram cannot be decoded ({type(error).__name__}): "
            "its record is damaged, run the command that wrote it again"
        ) from error
