"""Requests that wait at the same time, joined into one inference along the first axis.

A free worker takes what waits, up to the limit, so a lone request is never held back for company unless a
delay is asked for. Where sizes are preferred, it takes as many as make the largest of them, and the rest wait
for the next; fewer than the smallest go as they are. Requests are read, joined, run, split and answered in
the worker thread; one that fails to read, or that makes the joined inference fail, fails alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from time import perf_counter
from typing import TypeAlias

import numpy as np

from modeldyno.serving.dispatch.pool import HungError, WorkerPool, settle
from modeldyno.serving.models.base import ServedModel
from modeldyno.serving.wire.answer import Answer, Call

Place: TypeAlias = tuple[str, int]  # an input and a dimension of it
Prepare: TypeAlias = Callable[[ServedModel], Call]
Result: TypeAlias = Answer | Exception
Observe: TypeAlias = Callable[[int, float], None]


@dataclass(frozen=True)
class BatchLimits:
    """At most `max_rows` in one inference; the first request waits `max_delay_s` at most for others.

    `preferred` are the numbers of rows that the model is fastest at, none over `max_rows`. Only requests are
    joined in which the dimensions of each group in `equal` have one size.
    """

    max_rows: int
    max_delay_s: float = 0.0
    preferred: tuple[int, ...] = ()
    equal: tuple[tuple[Place, ...], ...] = ()

    def fits(self, call: Call) -> bool:
        """Whether a request has the equal sizes that a proof of independent rows goes by."""
        shapes = {name: array.shape for name, array in call.feeds.items()}
        sizes = ([shapes[name][at : at + 1] for name, at in group] for group in self.equal)
        return all(len(set(each)) == 1 for each in sizes)

    def largest(self, rows: int) -> int | None:
        """Return the largest size to begin with at once when so many rows wait; None: there is none."""
        return max((size for size in (*self.preferred, self.max_rows) if size <= rows), default=None)


@dataclass(frozen=True)
class _Waiting:
    prepare: Prepare
    since_s: float
    result: asyncio.Future[Answer]


class Batcher:
    """The queue before the workers of `pool`. Lives on the event loop; `observe` gets rows and seconds."""

    def __init__(self, pool: WorkerPool, limits: BatchLimits, observe: Observe) -> None:
        self._pool = pool
        self._limits = limits
        self._observe = observe
        self._waiting: deque[_Waiting] = deque()
        self._free = pool.workers
        self._timer: asyncio.TimerHandle | None = None

    def submit(self, prepare: Prepare) -> asyncio.Future[Answer]:
        """Queue one request; whose future gets an answer or an error first is not run.

        It raises what `prepare`, the model or the call's answer raise.
        """
        loop = asyncio.get_running_loop()
        one = _Waiting(prepare, loop.time(), loop.create_future())
        self._waiting.append(one)
        self._dispatch()
        return one.result

    def _dispatch(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._free and self._living():
            due_s = self._waiting[0].since_s + self._limits.max_delay_s
            # Each has a row at least, so no more than this many can go together.
            count = self._limits.largest(len(self._waiting))
            if count is None and loop.time() < due_s:
                self._timer = loop.call_at(due_s, self._dispatch)
                return
            count = count or len(self._waiting)
            batch = [self._waiting.popleft() for _ in range(count) if self._living()]
            self._free -= 1
            prepares = [one.prepare for one in batch]
            self._pool.submit(partial(self._run, prepares), partial(self._finish, batch))

    def _living(self) -> bool:
        """Forget the first that were dropped meanwhile; whether any is left."""
        while self._waiting and self._waiting[0].result.done():
            self._waiting.popleft()
        return bool(self._waiting)

    def _run(self, prepares: list[Prepare], model: ServedModel) -> list[Result]:
        return run_joined(model, prepares, self._limits, self._observe)

    def add_workers(self, number: int) -> None:
        """Go on with as many workers in place of those that hang."""
        self._free += number
        self._dispatch()

    def _finish(self, batch: list[_Waiting], found: list[Result] | None, error: Exception | None) -> None:
        if not isinstance(error, HungError):
            self._free += 1
        # An error here is a bug: each of the requests must hear of it.
        results = found if found is not None else [error or RuntimeError("no results")] * len(batch)
        for one, result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                settle(one.result, None, result)
            else:
                settle(one.result, result, None)
        self._dispatch()


def run_joined(
    model: ServedModel, prepares: list[Prepare], limits: BatchLimits, observe: Observe
) -> list[Result]:
    """Answer all of `prepares` with as few inferences as the limits allow; in their order."""
    made = [_prepared(prepare, model) for prepare in prepares]
    if len(made) == 1:  # nothing to join: a lone request at low load
        return [made[0] if isinstance(made[0], Exception) else _run_one(model, made[0], observe)]
    results: dict[int, Result] = {index: one for index, one in enumerate(made) if isinstance(one, Exception)}
    calls = {index: one for index, one in enumerate(made) if not isinstance(one, Exception)}
    groups = (part for whole in _groups(calls, limits) for part in _preferred(whole, calls, limits))
    for group in groups:
        members = [calls[index] for index in group]
        results.update(zip(group, _run_group(model, members, observe), strict=True))
    return [results[index] for index in range(len(prepares))]


def _prepared(prepare: Prepare, model: ServedModel) -> Call | Exception:
    try:
        return prepare(model)
    except Exception as error:
        return error


def _run_group(model: ServedModel, calls: list[Call], observe: Observe) -> list[Result]:
    if len(calls) == 1:
        return [_run_one(model, calls[0], observe)]
    counts = [_rows(call) for call in calls]
    joined = {name: np.concatenate([call.feeds[name] for call in calls]) for name in calls[0].feeds}
    try:
        outputs = _timed(model, joined, sum(counts), observe)
    except Exception:  # whose fault it is shows when each runs alone
        return [_run_one(model, call, observe) for call in calls]
    if any(array.shape[:1] != (sum(counts),) for array in outputs.values()):
        return [_run_one(model, call, observe) for call in calls]
    ends = np.cumsum(counts)
    return [
        _answer(call, {name: array[end - count : end] for name, array in outputs.items()})
        for call, count, end in zip(calls, counts, ends, strict=True)
    ]


def _run_one(model: ServedModel, call: Call, observe: Observe) -> Result:
    try:
        outputs = _timed(model, call.feeds, _rows(call), observe)
    except Exception as error:
        return error
    return _answer(call, outputs)


def _answer(call: Call, outputs: dict[str, np.ndarray]) -> Result:
    try:
        return call.answer(outputs)
    except Exception as error:
        return error


def _timed(
    model: ServedModel, feeds: dict[str, np.ndarray], rows: int, observe: Observe
) -> dict[str, np.ndarray]:
    started_s = perf_counter()
    outputs = model.run(feeds)
    observe(rows, perf_counter() - started_s)
    return outputs


def _groups(calls: dict[int, Call], limits: BatchLimits) -> Iterator[list[int]]:
    """Put together what has the same sizes but for the rows, in the order of arrival."""
    open_groups: dict[tuple[object, ...], list[int]] = {}
    filled: dict[tuple[object, ...], int] = {}
    for index, call in calls.items():
        rows = _rows(call) if limits.fits(call) else 0
        if rows == 0:
            yield [index]
            continue
        key = tuple((name, array.shape[1:]) for name, array in sorted(call.feeds.items()))
        if key in open_groups and filled[key] + rows > limits.max_rows:
            yield open_groups.pop(key)
            filled[key] = 0
        open_groups.setdefault(key, []).append(index)
        filled[key] = filled.get(key, 0) + rows
    yield from open_groups.values()


def _preferred(group: list[int], calls: dict[int, Call], limits: BatchLimits) -> Iterator[list[int]]:
    """Cut a group into parts of preferred sizes, the largest first; what is left stays together."""
    rest = group
    while rest and limits.preferred:
        ends = list(accumulate(_rows(calls[index]) for index in rest))
        cut = max((end for end, rows in enumerate(ends, 1) if rows in limits.preferred), default=len(rest))
        yield rest[:cut]
        rest = rest[cut:]
    if rest:
        yield rest


def _rows(call: Call) -> int:
    """Return the rows that all inputs agree on; 0 where there are none to join."""
    counts = {array.shape[0] if array.ndim else 0 for array in call.feeds.values()}
    return counts.pop() if len(counts) == 1 else 0
