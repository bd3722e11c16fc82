"""Which kernels make the difference between two profiles; `profiles.py` measures these."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from modeldyno.base.records.gate import KernelChange
from modeldyno.runtime.tools.profile_records import KernelTime, Profile

OUTSIDE = "outside kernels"
LEAST_SHARE = 0.01
"""Of the whole difference; what is less is not told."""
Pair = tuple[KernelTime | None, KernelTime | None]


def kernel_changes(baseline: Profile, candidate: Profile) -> tuple[KernelChange, ...]:
    """Give the kernels that take another time, the largest share of the whole difference first.

    The whole is what the inference takes longer, copies and the VM included (a row of its own). Kernels are
    the same by name and shapes, else by what they compute on which shapes (a kernel with another number in
    its name), else by name alone; what is left is in one of the profiles only. Empty where the candidate's
    inference takes no longer.
    """
    whole_ms = candidate.total_p50_ms - baseline.total_p50_ms
    if whole_ms <= 0:
        return ()
    changes = [_change(pair, whole_ms) for pair in _pairs(baseline.kernels, candidate.kernels)]
    changes.append(_row(OUTSIDE, baseline.outside_kernels_ms, candidate.outside_kernels_ms, whole_ms))
    told = (each for each in changes if abs(each.share) >= LEAST_SHARE)
    return tuple(sorted(told, key=lambda each: -each.share))


def settled(profiles: Sequence[Profile]) -> Profile:
    """Give one profile of several of the same artifact: the medians of their times.

    Raises:
        ValueError: there are none.
    """
    if not profiles:
        raise ValueError("no profiles")
    times = defaultdict(list)
    for kernel in (kernel for profile in profiles for kernel in profile.kernels):
        times[kernel.name].append(kernel.p50_ms)
    kernels = tuple(
        kernel.model_copy(update={"p50_ms": statistics.median(times[kernel.name])})
        for kernel in profiles[0].kernels
    )
    total_ms = statistics.median(each.total_p50_ms for each in profiles)
    kernels_ms = statistics.median(each.kernels_p50_ms for each in profiles)
    return profiles[0].model_copy(
        update={
            "kernels": kernels,
            "total_p50_ms": total_ms,
            "kernels_p50_ms": kernels_ms,
            "outside_kernels_ms": total_ms - kernels_ms,
        }
    )


def _pairs(baseline: Iterable[KernelTime], candidate: Iterable[KernelTime]) -> Iterator[Pair]:
    before, now = ({each.name: each for each in side} for side in (baseline, candidate))
    same = [name for name in before if name in now and _work(before[name]) == _work(now[name])]
    yield from _taken(before, now, zip(same, same, strict=True))
    yield from _taken(before, now, list(_by_work(before, now)))
    left = [name for name in before if name in now]
    yield from _taken(before, now, zip(left, left, strict=True))
    yield from ((each, None) for each in before.values())
    yield from ((None, each) for each in now.values())


def _taken(
    before: dict[str, KernelTime], now: dict[str, KernelTime], names: Iterable[tuple[str, str]]
) -> Iterator[Pair]:
    """Take pairs out of what is not matched yet."""
    for one, other in names:
        yield before.pop(one), now.pop(other)


def _work(kernel: KernelTime) -> object:
    return kernel.kind, kernel.calls, kernel.inputs, kernel.outputs


def _by_work(before: dict[str, KernelTime], now: dict[str, KernelTime]) -> Iterator[tuple[str, str]]:
    """Pair kernels of the same work, the slower with the slower; of one whose work is unknown no other is."""
    waiting = defaultdict(list)
    for each in sorted(now.values(), key=lambda kernel: -kernel.p50_ms):
        waiting[_work(each)].append(each.name)
    for each in sorted(before.values(), key=lambda kernel: -kernel.p50_ms):
        if each.kind is not None and waiting[_work(each)]:
            yield each.name, waiting[_work(each)].pop(0)


def _change(pair: Pair, whole_ms: float) -> KernelChange:
    before, now = pair
    names = dict.fromkeys(each.name for each in (before, now) if each)
    before_ms, now_ms = (each.p50_ms if each else None for each in (before, now))
    return _row(" -> ".join(names), before_ms, now_ms, whole_ms)


def _row(name: str, before_ms: float | None, now_ms: float | None, whole_ms: float) -> KernelChange:
    share = ((now_ms or 0.0) - (before_ms or 0.0)) / whole_ms
    return KernelChange(name=name, baseline_ms=before_ms, candidate_ms=now_ms, share=share)
