"""Limits of a load test by their names: `p99_ms`, `p99.9_ms`, `error_rate`, `throughput_rps`.

`dyno load --limit` gives them as texts, a job as its `limits`; the record Limits reads and bounds both. A
search of a rate and MLPerf's Server take those of latency and of errors, one load test takes all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.load import PERCENTILES
from modeldyno.base.records.run import Limits
from modeldyno.loadgen.spec import mlperf
from modeldyno.loadgen.stats.intervals import fewest_samples

ERROR_RATE = "error_rate"
THROUGHPUT = "throughput_rps"
NAMES = (*(f"p{percent:g}_ms" for percent in PERCENTILES), ERROR_RATE)


def parse_limits(texts: tuple[str, ...]) -> dict[str, float]:
    """Turn `p99_ms=50` texts into limits by name; without an error_rate, it is the record's default.

    Raises:
        ConfigError: an unknown name, a number out of its bounds, or no limit on a percentile.
    """
    given = _given(texts, NAMES)
    if not given.keys() - {ERROR_RATE}:
        raise ConfigError("a search needs a limit on a percentile, e.g. `limits=p99_ms=50`", field="limits")
    found = named_limits(Limits.model_validate(given))
    return {ERROR_RATE: found[ERROR_RATE], **{name: found[name] for name in given}}


def parse_limits_of_one_test(texts: tuple[str, ...]) -> dict[str, float]:
    """Turn texts into the limits that one load test is held against, by name, in the order they were given.

    Raises:
        ConfigError: an unknown name, or a number out of its bounds.
    """
    given = _given(texts, (*NAMES, THROUGHPUT))
    found = Limits.model_validate(given)
    values = {**named_limits(found), THROUGHPUT: found.throughput_rps}
    return {name: value for name in given if (value := values[name]) is not None}


def _given(texts: tuple[str, ...], names: Sequence[str]) -> dict[str, str]:
    """Take the texts apart, each bounded by the record."""
    given = {}
    for text in texts:
        name, _, value = text.partition("=")
        given[name.strip()] = value.strip()
        try:
            if name.strip() not in names:
                raise ValueError
            Limits.model_validate({name.strip(): value.strip()})
        except (ValueError, ValidationError) as error:
            why = f": {error.errors()[0]['msg']}" if isinstance(error, ValidationError) else ""
            raise ConfigError(
                f"`limits` {text}: expected NAME=NUMBER, NAME one of {', '.join(names)}{why}", field="limits"
            ) from error
    return given


def named_limits(limits: Limits) -> dict[str, float]:
    """Give the limits that one load test can miss, by name."""
    latency = {f"p{percent:g}_ms": limit_ms for percent, limit_ms in limits.latency_ms.items()}
    return latency if limits.error_rate is None else {ERROR_RATE: limits.error_rate, **latency}


def samples_needed(limits: Mapping[str, float]) -> int:
    """How many requests a load test needs so that each limited percentile can be stated."""
    shares = [float(name[1:-3]) / 100 for name in limits if name != ERROR_RATE]
    return max(map(fewest_samples, shares))


def samples_planned(limits: Mapping[str, float], scenario: str | None = None) -> int:
    """How many requests a load test is planned to send, so that chance seldom leaves fewer than are needed.

    MLPerf's Server needs at least what its early stopping asks for.
    """
    needed = samples_needed(limits)
    if scenario:
        within = mlperf.within_needed(0, mlperf.PERCENTILES[mlperf.SERVER])
        needed = max(needed, mlperf.EARLY_STOPPING_SHARE * within)
    return math.ceil(needed + 3 * math.sqrt(needed))
