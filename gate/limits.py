"""Which metrics a gate judges, and by which limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modeldyno.base.errors import ConfigError, unknown_name
from modeldyno.gate.exact.rules import RULES
from modeldyno.gate.options import share
from modeldyno.trials.compare.looks.sequential import Limit, limit_of
from modeldyno.trials.compare.metrics import CPU, METRICS, THROUGHPUT

DEFAULT = "p50_ms=5%"
ERROR_RATE, STARTUP = "error_rate", "startup_s"
EXACT = (*RULES, ERROR_RATE)
NAMES = (*METRICS, STARTUP, *EXACT)


@dataclass(frozen=True)
class GateLimits:
    """What was asked."""

    measured: Mapping[str, Limit]
    """By statistics."""
    exact: Mapping[str, float]
    """By a rule: the share by which it may be worse."""
    startup: Limit | None = None
    """Of the time that a start takes; None: not asked for."""

    @property
    def startup_part(self) -> float:
        """Its part of the error of the whole comparison: it is tested apart from the others."""
        return 0.0 if self.startup is None else 1 / (1 + len(self.measured))


def read_limits(
    max_regression: Sequence[str],
    ignore_below: Sequence[str] = (),
    between_starts: float | None = None,
) -> GateLimits:
    """Read `METRIC=SHARE` texts.

    Args:
        max_regression: limits; none: p50_ms=5%.
        ignore_below: floors of the user's own.
        between_starts: what starts differ by on this machine, if that is known.

    Raises:
        ConfigError: there is no such metric, or a floor is not below its limit.
    """
    most = _pairs(max_regression or (DEFAULT,), "max_regression")
    floors = _pairs(ignore_below, "ignore_below")
    if extra := [name for name in floors if name not in most]:
        raise ConfigError(
            f"`ignore_below` {extra[0]}: it has no limit; give `max_regression` {extra[0]}=SHARE, too",
            field="ignore_below",
        )
    measured = {
        name: _limit(name, value, floors.get(name), between_starts)
        for name, value in most.items()
        if name in METRICS
    }
    startup = None
    if STARTUP in most:
        startup = _limit(STARTUP, most[STARTUP], floors.get(STARTUP), 0.0)
    return GateLimits(measured, {name: value for name, value in most.items() if name in EXACT}, startup)


def check_load(limits: GateLimits, rate_rps: float | None, users: int | None) -> None:
    """See whether the load can tell what is limited.

    Raises:
        ConfigError: it can't.
    """
    if rate_rps is None:
        return
    if THROUGHPUT in limits.measured:
        raise ConfigError(
            f"`max_regression` {THROUGHPUT}: at a rate, throughput is the rate", field="max_regression"
        )
    if users is not None:
        raise ConfigError("`users` and `rate_rps`: a load is a closed loop or an open one", field="users")


def check_elsewhere(limits: GateLimits) -> None:
    """See whether servers that somebody else runs can tell what is limited.

    Raises:
        ConfigError: they can't.
    """
    unread = {CPU: "the CPU time", STARTUP: "the start"}
    asked = [name for name in limits.measured if name in unread]
    asked += [STARTUP] if limits.startup is not None else []
    if asked:
        raise ConfigError(
            f"`max_regression` {asked[0]}: {unread[asked[0]]} of servers that run elsewhere can't be read",
            field="max_regression",
        )


def _limit(name: str, most: float, floor: float | None, between_starts: float | None) -> Limit:
    if most <= 0:
        raise ConfigError(
            f"`max_regression` {name}={most:g}: no measurement can show that nothing at all was lost; "
            "the smallest that is of use is about 1%",
            field="max_regression",
        )
    if floor is not None and floor >= most:
        raise ConfigError(
            f"`ignore_below` {name}: {floor:.2%} is not below its limit of {most:.2%}", field="ignore_below"
        )
    return limit_of(most, between_starts, floor)


def _pairs(texts: Sequence[str], field: str) -> dict[str, float]:
    found = dict[str, float]()
    for text in texts:
        name, sign, value = text.partition("=")
        name = name.strip()
        if not sign:
            raise ConfigError(f"`{field}` {text}: expected METRIC=SHARE, e.g. p50_ms=5%", field=field)
        if name not in NAMES:
            raise ConfigError(f"`{field}` {text}: {unknown_name('metric', name, NAMES)}", field=field)
        if name in found:
            raise ConfigError(f"`{field}` {name} is given twice", field=field)
        found[name] = share(value, field)
    return found
