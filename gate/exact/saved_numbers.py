"""Numbers alone: a saved run against a fresh one. They can pass or warn; they never make a regression.

What was measured at another time was measured beside another minute of the machine, which no interval of the
saved run has in it. So the best that follows is weak, and a difference is a reason to measure both live.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from modeldyno.base.records.gate import FieldChange, GateMetric, GateVerdict, GateWarning
from modeldyno.base.records.record import HostFacts
from modeldyno.gate.content.saved import Figure, SavedRun
from modeldyno.gate.exact.rules import NOT_LIMITED
from modeldyno.trials.compare.metrics import METRICS, THROUGHPUT, worse_share

PACKAGES = ("apache-tvm", "apache-tvm-ffi", "onnxruntime", "numpy", "torch", "modeldyno")
"""Whose versions change what a server does."""
CONFIDENCE = 0.95
_Z = 1.959964
_MACHINE = ("cpu_model", "architecture", "usable_cores", "threads_per_core", "instance_type", "gpus")
_SOFTWARE = ("kernel", "python")
_LIVE = "measure the baseline live: save its model, artifact or server folder as a baseline"


@dataclass(frozen=True)
class NumbersAgainst:
    """In what a saved run's machine, software and load are others than those of now."""

    machine: tuple[FieldChange, ...]
    software: tuple[FieldChange, ...]
    load: tuple[FieldChange, ...]

    @property
    def comparable(self) -> bool:
        """Whether any number may be compared: the load has to be the same."""
        return not self.load

    @property
    def can_pass(self) -> bool:
        """Whether an upper bound below the limit is a pass: machine, software and load are the same."""
        return not (self.machine or self.software or self.load)

    @property
    def warning(self) -> GateWarning:
        """Say what may be concluded: weak at best."""
        if self.load:
            text = f"the saved run was loaded otherwise: {_told(self.load)}"
            return GateWarning(rank="void", text=text, advice="load both alike, or measure the baseline live")
        if self.machine:
            text = f"the saved run is of another machine: {_told(self.machine)}; its numbers can only warn"
        elif self.software:
            text = f"the saved run is of other software: {_told(self.software)}; a difference may be of that"
        else:
            text = "the saved run is of this kind of machine, at another time: a difference may be of the day"
        return GateWarning(rank="weak", text=text, advice=_LIVE)


def numbers_against(
    saved: SavedRun, host: HostFacts, load: Mapping[str, str] | None = None
) -> NumbersAgainst:
    """Compare where and how numbers were taken with `host`, and with a `load` that has SavedRun's names."""
    before, now = saved.host, host
    packages = {name: (before.packages.get(name), now.packages.get(name)) for name in PACKAGES}
    wanted = load or {}
    return NumbersAgainst(
        machine=_changes((name, getattr(before, name), getattr(now, name)) for name in _MACHINE),
        software=_changes(
            (
                *((name, getattr(before, name), getattr(now, name)) for name in _SOFTWARE),
                *((name, *versions) for name, versions in packages.items()),
            )
        ),
        load=_changes((name, saved.load[name], wanted[name]) for name in saved.load if name in wanted),
    )


def compare_numbers(
    saved: SavedRun, fresh: SavedRun, limits: Mapping[str, float], against: NumbersAgainst
) -> tuple[GateMetric, ...]:
    """Compare each figure that both runs have; `limits` are shares by which it may be worse.

    The interval is that of the ratio of two independent values, from the 95 % interval of each: it has no
    difference between days in it. `pass` where its upper end is below the limit and all else is the same;
    what is limited else is `inconclusive`, and the text says by how much it differs.
    """
    return tuple(_metrics(saved, fresh, limits, against))


def _metrics(
    saved: SavedRun, fresh: SavedRun, limits: Mapping[str, float], against: NumbersAgainst
) -> Iterator[GateMetric]:
    for name in (*METRICS, *(each for each in saved.figures if each not in METRICS)):
        before, now = saved.figures.get(name), fresh.figures.get(name)
        if before is None or now is None or min(before.value, now.value) <= 0:
            continue
        change, low, high = _change(name, before, now)
        limit = limits.get(name)
        verdict = _verdict(high, limit, against)
        yield GateMetric(
            metric=name,
            verdict=verdict,
            text=_words(name, (change, low, high), limit, verdict),
            unit="requests/s" if name == THROUGHPUT else "ms",
            baseline=before.value,
            candidate=now.value,
            change=change,
            change_low=low,
            change_high=high,
            confidence=None if high is None else CONFIDENCE,
            max_regression=limit,
        )


def _change(name: str, before: Figure, now: Figure) -> tuple[float, float | None, float | None]:
    """Give the change as a share, above 0 worse, and the ends of its interval."""
    sign = -1 if name == THROUGHPUT else 1
    ratio = sign * math.log(now.value / before.value)
    errors = [_error(each) for each in (before, now)]
    if None in errors:
        return worse_share(name, ratio), None, None
    half = _Z * math.hypot(*(error for error in errors if error is not None))
    return worse_share(name, ratio), worse_share(name, ratio - half), worse_share(name, ratio + half)


def _error(figure: Figure) -> float | None:
    """Give the standard error of its logarithm; None where its interval has no end."""
    if figure.low is None or figure.high is None or figure.low <= 0:
        return None
    return math.log(figure.high / figure.low) / (2 * _Z)


def _verdict(high: float | None, limit: float | None, against: NumbersAgainst) -> GateVerdict:
    if limit is None:
        return "pass"
    under = high is not None and high < limit
    return "pass" if under and against.can_pass else "inconclusive"


def _words(
    name: str, change: tuple[float, float | None, float | None], limit: float | None, verdict: GateVerdict
) -> str:
    value, low, high = change
    worse, better = ("less", "more") if name == THROUGHPUT else ("slower", "faster")
    ends = "no interval"
    if low is not None and high is not None:
        first, last = (low, high) if value >= 0 else (-high, -low)
        ends = f"{100 * first:.1f} to {100 * last:.1f}"
    shown = f"{worse if value >= 0 else better} by {100 * abs(value):.1f} % ({ends}) than the saved run"
    if limit is None:
        return f"{shown}; {NOT_LIMITED}"
    if verdict == "pass":
        return f"{shown}, under the limit of {100 * limit:.3g} %"
    return f"{shown}; numbers of another time do not decide the limit of {100 * limit:.3g} %"


def _changes(triples: Iterable[tuple[str, object, object]]) -> tuple[FieldChange, ...]:
    return tuple(
        FieldChange(field=name, baseline=_shown(before), candidate=_shown(now))
        for name, before, now in triples
        if before != now
    )


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value)


def _told(changes: tuple[FieldChange, ...]) -> str:
    first = changes[:3]
    more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
    return ", ".join(f"{each.field} {each.baseline}, now {each.candidate}" for each in first) + more
