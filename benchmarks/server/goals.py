"""What the server's figures should be, and whether they are."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

_CONNECTIONS = (1, 8, 64)
Figures = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True)
class Goal:
    """One figure with its bound; `value` None: it was not measured."""

    what: str
    value: float | None
    at_most: float = math.inf
    at_least: float = -math.inf

    @property
    def verdict(self) -> str:
        """Say `goal met`, `goal not met` or `not measured`."""
        if self.value is None:
            return "not measured"
        return "goal met" if self.at_least <= self.value <= self.at_most else "goal not met"

    @property
    def bound(self) -> str:
        """The bound in words."""
        return f"at least {self.at_least:g}" if math.isinf(self.at_most) else f"at most {self.at_most:g}"

    def record(self) -> dict[str, Any]:
        """Give it as JSON takes it, without the bound that there is none of."""
        values = {name: value for name, value in asdict(self).items() if value not in (math.inf, -math.inf)}
        return {**values, "verdict": self.verdict}


def goals(figures: Figures, peers: tuple[str, ...]) -> list[Goal]:
    """Hold the medians against the goals; ratios are to the better peer at each number of connections."""
    return [
        Goal("tiny: p50 over a bare session (ms)", _median(figures, "tiny", "plain_over_bare_p50_ms"), 0.2),
        Goal(
            "600 KB: p50 over a bare session (ms)", _median(figures, "600 KB", "plain_over_bare_p50_ms"), 0.6
        ),
        *(
            Goal(
                f"{case}: requests a second over the better peer's, {count} connections (JSON)",
                _over_peers(figures, case, peers, count),
                at_least=3.0,
            )
            for case in ("tiny", "600 KB", "digits")
            for count in _CONNECTIONS
        ),
        *(
            Goal(
                f"{case}: the same at 64 connections, with the leanest body that each takes (raw bytes here)",
                _over_peers(figures, case, peers, 64, ours="plain"),
                at_least=3.0,
            )
            for case in ("tiny", "600 KB")
        ),
        Goal(
            "small: requests a second with batching over those without, 64 connections",
            _ratio(figures, "small", "batching_requests_per_s_c64", "plain_requests_per_s_c64"),
            at_least=2.0,
        ),
        Goal(
            "small: p99 at one connection, with batching over that without",
            _ratio(figures, "small", "batching_p99_ms", "plain_p99_ms"),
            at_most=1.25,
        ),
    ]


def _median(figures: Figures, case: str, name: str) -> float | None:
    return figures.get(case, {}).get(name, {}).get("median")


def _ratio(figures: Figures, case: str, over: str, under: str) -> float | None:
    above, below = _median(figures, case, over), _median(figures, case, under)
    return None if above is None or not below else round(above / below, 3)


def _over_peers(
    figures: Figures, case: str, peers: tuple[str, ...], count: int, ours: str = "plain_json"
) -> float | None:
    """Give the ratio to the better of all peers, which take JSON only; None where one of them is missing."""
    rates = [_median(figures, case, f"{peer}_json_requests_per_s_c{count}") for peer in peers]
    own = _median(figures, case, f"{ours}_requests_per_s_c{count}")
    known = [rate for rate in rates if rate is not None]
    best = max(known, default=0.0)
    return None if own is None or len(known) < len(rates) or not best else round(own / best, 3)
