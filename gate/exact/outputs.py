"""The answers of both sides to the same bodies, compared once.

An array passes where max |a - b| <= tolerance x max |b|, b the baseline's; NaN equals NaN, and an infinity
itself. Whole numbers and text must be the same. An array that the baseline itself gives otherwise when asked
again (a model that draws random numbers, a time of day) can be compared by type and shape alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modeldyno.base.records.gate import OutputsCompared
from modeldyno.compiler.check.compare import compare
from modeldyno.gate.exact.decode import Array, decoded
from modeldyno.loadgen.payloads.body import NPY, NPZ, Payload
from modeldyno.loadgen.server.single import Reply, ask

TOLERANCE = 1e-3
LIMIT_S = 60.0
_SHOWN = 80


@dataclass(frozen=True)
class _Off:
    """How far one array is off, as a share of max |b|; or, in words, that it is another."""

    place: str
    share: float = 0.0
    words: str = ""

    def beyond(self, tolerance: float) -> bool:
        """Whether it is another array than it may be."""
        return bool(self.words) or self.share > tolerance

    def text(self, where: str = "") -> str:
        """Say it; `where` names the body."""
        return f"{self.words or f'{self.place} by {self.share:.2g} of its largest value'}{where}"


def outputs_of(
    baseline_url: str, candidate_url: str, bodies: Sequence[Payload], tolerance: float = TOLERANCE
) -> OutputsCompared:
    """Send each body once to the candidate and twice to the baseline, and compare the answers."""
    first, again = (answers(baseline_url, bodies) for _ in range(2))
    return compare_outputs(first, answers(candidate_url, bodies), again=again, tolerance=tolerance)


def answers(url: str, bodies: Sequence[Payload]) -> tuple[Reply, ...]:
    """Send each body once, on a connection of its own."""
    return tuple(ask(url, "POST", LIMIT_S, body) for body in bodies)


def compare_outputs(
    baseline: Sequence[Reply],
    candidate: Sequence[Reply],
    *,
    again: Sequence[Reply] | None = None,
    tolerance: float = TOLERANCE,
) -> OutputsCompared:
    """Compare the answers to the same bodies, in the same order; `again` are the baseline's second ones.

    Where a body's answer can't be compared (both refuse it, the baseline's own answers differ), that is said
    and is no difference.
    """
    several = len(baseline) > 1
    found: list[tuple[str, _Off]] = []
    varying: set[str] = set()
    refused = 0
    for number, (before, now) in enumerate(zip(baseline, candidate, strict=True), start=1):
        if _is_answer(before):
            unsteady = _unsteady(before, again[number - 1] if again else None, tolerance)
            varying |= unsteady
            where = f" (body {number})" if several else ""
            found += [(where, each) for each in _of_body(before, now, unsteady)]
        else:
            refused += 1
    differs = next((each.text(where) for where, each in found if each.beyond(tolerance)), "")
    return OutputsCompared(
        bodies=len(baseline),
        same=not differs,
        text=f"the candidate answers otherwise: {differs}; tolerance {tolerance:g}"
        if differs
        else _same(len(baseline) - refused, found, tolerance),
        undecided=_undecided(varying, refused, len(baseline)),
    )


def _is_answer(reply: Reply) -> bool:
    return 200 <= reply.status < 300


def _of_body(before: Reply, now: Reply, unsteady: set[str]) -> list[_Off]:
    if words := _other_kind(before, now):
        return [_Off("", words=words)]
    wanted, found = (decoded(each.content_type, each.body) for each in (before, now))
    if wanted.keys() != found.keys():
        place = min(wanted.keys() ^ found.keys())
        side = "the baseline" if place in wanted else "the candidate"
        return [_Off(place, words=f"only {side} gives {place}")]
    typed = _media_type(before) in (NPY, NPZ)
    return [_off(place, wanted[place], found[place], place in unsteady, typed) for place in wanted]


def _media_type(reply: Reply) -> str:
    return reply.content_type.split(";", 1)[0].strip().lower()


def _other_kind(before: Reply, now: Reply) -> str:
    """Say what is wrong with an answer before its numbers are looked at."""
    if not _is_answer(now):
        said = now.body[:_SHOWN].decode("utf-8", "replace").splitlines()[:1]
        what = f"HTTP {now.status}" if now.status > 0 else "no answer"
        return f"{what} where the baseline answers{': ' if said else ''}{''.join(said)}"
    was, is_ = _media_type(before), _media_type(now)
    return "" if was == is_ else f"{is_ or 'no content type'} where the baseline gives {was or 'none'}"


def _unsteady(first: Reply, second: Reply | None, tolerance: float) -> set[str]:
    """Give the places in which the baseline's second answer is another than its first."""
    if second is None or not _is_answer(second):
        return set()
    return {each.place for each in _of_body(first, second, set()) if each.beyond(tolerance)}


def _off(place: str, wanted: Array | str, found: Array | str, unsteady: bool, typed: bool) -> _Off:
    if isinstance(wanted, str) or isinstance(found, str):
        same = isinstance(wanted, str) and isinstance(found, str) and wanted == found
        return _Off(place, words="" if same or unsteady else f"{place} is other text")
    if not typed:  # digits do not say whether 1 is a float
        wanted, found = _floats_alike(wanted, found)
    is_, was = (f"{array.dtype.name} {list(array.shape)}" for array in (found, wanted))
    if is_ != was:
        return _Off(place, words=f"{place} is {is_}, and {was} in the baseline")
    return _Off(place) if unsteady else _off_numbers(place, wanted, found)


def _off_numbers(place: str, wanted: Array, found: Array) -> _Off:
    row = compare(place, wanted, found)
    if not row.max_abs:
        return _Off(place)
    if wanted.dtype.kind != "f":
        return _Off(place, words=f"{int((wanted != found).sum())} of {wanted.size} values of {place} differ")
    if not np.isfinite(row.max_abs):
        return _Off(place, words=f"{place} is infinite or NaN in other places")
    if np.isfinite(row.max_rel):
        return _Off(place, row.max_rel)
    if row.max_abs <= np.finfo(wanted.dtype).eps:  # beside zeros alone there is no share
        return _Off(place)
    return _Off(place, words=f"{place} is up to {row.max_abs:.2g}, and 0 in the baseline")


def _floats_alike(wanted: Array, found: Array) -> tuple[Array, Array]:
    if "f" in (kinds := {wanted.dtype.kind, found.dtype.kind}) and kinds <= set("fiu"):
        return wanted.astype(np.float64), found.astype(np.float64)
    return wanted, found


def _same(compared: int, found: Sequence[tuple[str, _Off]], tolerance: float) -> str:
    if not compared:
        return "nothing was compared"
    what = "the answers are the same" if compared > 1 else "the answer is the same"
    where, worst = max(found, key=lambda each: each[1].share)
    if not worst.share:
        return what
    return f"{what} within {tolerance:g}; largest difference: {worst.text(where)}"


def _undecided(varying: set[str], refused: int, bodies: int) -> str:
    said = []
    if varying:
        names = ", ".join(sorted(varying)[:3])
        said.append(f"the baseline's own answers differ from one request to the next in {names}")
    if refused:
        said.append(f"the baseline refuses {refused} of {bodies} bodies")
    return "; ".join(said)
