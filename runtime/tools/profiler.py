"""Where the time of an inference goes: each kernel's time, rate, and share of what the processor can do.

The VM calls an observer before and after each kernel. What that costs is measured (an observer called with as
many tensors, 200 times) and taken off each call; the total is that of inferences without an observer, run in
turn with the observed ones, as are the calls of the peak function: all see the same clock and the same load.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from modeldyno.base.errors import ArtifactError, ConfigError
from modeldyno.base.host.facts import host_facts, usable_cores
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.kernels import PeakKernel
from modeldyno.runtime.sessions.feeds import random_feeds
from modeldyno.runtime.sessions.whole import WholeSession
from modeldyno.runtime.tools.one_shape import one_shape, segments_apart
from modeldyno.runtime.tools.profile_records import BuiltinTime, KernelTime, Profile, kernel_time

MIN_REPEATS = 5  # fewer give no quartiles
DEFAULT_REPEATS = 50
WARMUP_SECONDS, WARMUP_REPEATS = 0.2, 3
BUILTIN = "vm.builtin."
_NS_PER_MS = 1e6

Calls = dict[str, tuple[int, float]]  # by name: calls, and nanoseconds of all of them


class Observer:
    """What the VM calls before and after each call: gathers the time of each, by name."""

    def __init__(self, cost_ns: Callable[[int], float]) -> None:
        self._cost_ns = cost_ns
        self._open: list[tuple[int, float]] = []  # calls under way: when each began, the time of those inside
        self._events: list[tuple[str, int, float, int]] = []

    def __call__(self, _function: Any, name: str, before: bool, _result: Any, *arguments: Any) -> None:
        """Note one event; the clock is read first at a call's end, last at its beginning."""
        if not before:
            now = time.perf_counter_ns()
            began, inside = self._open.pop()
            self._events.append((name, now - began, inside, len(arguments)))
            if self._open:
                outer_began, outer_inside = self._open[-1]
                self._open[-1] = (outer_began, outer_inside + now - began)
        else:
            self._open.append((0, 0.0))
            self._open[-1] = (time.perf_counter_ns(), 0.0)

    def take(self) -> Calls:
        """Give what was gathered since the last time, without the observer's own cost."""
        calls: dict[str, int] = defaultdict(int)
        times: dict[str, float] = defaultdict(float)
        for name, whole_ns, inside_ns, arguments in self._events:
            calls[name] += 1
            times[name] += max(0.0, whole_ns - inside_ns - self._cost_ns(arguments))
        self._events.clear()
        self._open.clear()
        return {name: (calls[name], times[name]) for name in calls}


def profile(
    artifact: Path,
    *,
    threads: int | None = None,
    repeats: int = DEFAULT_REPEATS,
    seconds: float | None = None,
    bucket: tuple[int, ...] | None = None,
) -> Profile:
    """Profile the artifact on seeded random input: `repeats` inferences, or as many as fit into `seconds`.

    Of several shapes `bucket` names one, by the size of each axis; None is the largest.

    Raises:
        ArtifactError: it can't be loaded here.
        ConfigError: too few inferences for quartiles, or no such bucket.
    """
    if seconds is None and repeats < MIN_REPEATS:
        raise ConfigError(f"{repeats} inferences give no quartiles: at least {MIN_REPEATS} are needed")
    opened = open_session(artifact, threads)
    session = one_shape(opened, bucket)
    if not isinstance(session, WholeSession):
        raise ArtifactError(segments_apart(opened, session))
    rounds = _Rounds(session)
    rounds.warm_up()
    began = time.perf_counter()
    while _more(len(rounds.plain_ms), repeats, seconds, time.perf_counter() - began):
        rounds.measure()
    if len(rounds.plain_ms) < MIN_REPEATS:
        raise ConfigError(
            f"only {len(rounds.plain_ms)} inferences fitted into {seconds:g} seconds; "
            f"at least {MIN_REPEATS} are needed",
            field="seconds",
            hint="give more `seconds`, or `repeat`",
        )
    return rounds.result(artifact)


def _more(done: int, repeats: int, seconds: float | None, passed: float) -> bool:
    return done < repeats if seconds is None else passed < seconds


class _Rounds:
    """Plain inferences, observed ones and calls of the peak function, in turn."""

    def __init__(self, session: WholeSession) -> None:
        self.session = session
        self.feeds = random_feeds(session.inputs, 0)
        self.cost_ns = _observer_cost(session)
        self.observer = Observer(self.cost_ns)
        self.peak = _bind_peak(session, session.manifest.peak)
        self.plain_ms: list[float] = []
        self.observed_ms: list[float] = []
        self.peak_ms: list[float] = []
        self.calls: list[Calls] = []

    def warm_up(self) -> None:
        """Let memory be allocated, threads start and clocks rise; forget what was measured."""
        began = time.perf_counter()
        while len(self.plain_ms) < WARMUP_REPEATS or time.perf_counter() - began < WARMUP_SECONDS:
            self.measure()
        for gathered in (self.plain_ms, self.observed_ms, self.peak_ms, self.calls):
            gathered.clear()

    def measure(self) -> None:
        """Measure one round."""
        self.plain_ms.append(_ms(lambda: self.session.run(self.feeds)))
        self.observed_ms.append(_ms(self._observed))
        self.calls.append(self.observer.take())
        if self.peak:
            self.peak_ms.append(_ms(self.peak))

    def _observed(self) -> None:
        self.session.instrument(self.observer)
        try:
            with _interrupt_after():
                self.session.run(self.feeds)
        finally:
            self.session.instrument(None)

    def result(self, artifact: Path) -> Profile:
        """Give medians and quartiles over the rounds."""
        manifest, threads = self.session.manifest, self.session.threads
        total = _quartiles(self.plain_ms)
        kernels_ms = float(np.median([sum(times.values()) for times in map(_kernels_ms, self.calls)]))
        # The best call is the peak: what was slower was disturbed.
        peak = _rate(manifest.peak, self.peak_ms, np.min)
        cores = min(threads, physical_cores(usable_cores()))
        return Profile(
            artifact=str(artifact),
            model=manifest.model,
            target=manifest.target.name,
            cpu_model=host_facts().cpu_model,
            threads=threads,
            repeats=len(self.plain_ms),
            total_p25_ms=total[0],
            total_p50_ms=total[1],
            total_p75_ms=total[2],
            kernels_p50_ms=kernels_ms,
            outside_kernels_ms=total[1] - kernels_ms,
            observed_total_p50_ms=float(np.median(self.observed_ms)),
            observer_us_per_call=self.cost_ns(4) / 1e3,
            core_peak_gflop_per_s=peak,
            core_peak_p50_gflop_per_s=_rate(manifest.peak, self.peak_ms, np.median),
            peak_cores=cores,
            kernels=self._kernels(total[1], peak * cores if peak else None),
            builtins=self._builtins(),
        )

    def _kernels(self, total_ms: float, peak_gflop_per_s: float | None) -> tuple[KernelTime, ...]:
        facts = {kernel.name: kernel for kernel in self.session.manifest.kernels}
        kernels = [
            kernel_time(
                name,
                calls,
                self._quartiles(name),
                facts.get(name),
                total_ms=total_ms,
                peak_gflop_per_s=peak_gflop_per_s,
            )
            for name, (calls, _) in self.calls[0].items()
            if not name.startswith(BUILTIN)
        ]
        return tuple(sorted(kernels, key=lambda kernel: -kernel.p50_ms))

    def _builtins(self) -> tuple[BuiltinTime, ...]:
        builtins = [
            BuiltinTime(name=name, calls=calls, p50_ms=self._quartiles(name)[1])
            for name, (calls, _) in self.calls[0].items()
            if name.startswith(BUILTIN)
        ]
        return tuple(sorted(builtins, key=lambda builtin: -builtin.p50_ms))

    def _quartiles(self, name: str) -> tuple[float, float, float]:
        return _quartiles([calls.get(name, (0, 0.0))[1] / _NS_PER_MS for calls in self.calls])


@contextmanager
def _interrupt_after() -> Iterator[None]:
    """Answer Ctrl-C when the inference is done: out of an observer, the VM would make it another error."""
    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(usual):
        yield
        return
    came: list[tuple[int, Any]] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if came:
        usual(*came[0])


def _kernels_ms(calls: Calls) -> dict[str, float]:
    return {name: ns / _NS_PER_MS for name, (_, ns) in calls.items() if not name.startswith(BUILTIN)}


def _observer_cost(session: WholeSession, samples: int = 200) -> Callable[[int], float]:
    """Measure the nanoseconds between the clocks of an observer around nothing, by the number of tensors."""
    stamps: list[int] = []

    def observe(*_: Any) -> None:
        stamps.append(time.perf_counter_ns())

    few, many = 0, 8
    costs = []
    for count in (few, many):
        call = session.callback(observe, "name", False, None, *[np.zeros(1, np.float32)] * count)
        took = []
        for _ in range(samples):
            began = time.perf_counter_ns()
            call()
            took.append(stamps[-1] - began)
        # Below the median: what is taken off a kernel is never more than the observer took.
        costs.append(float(np.percentile(took, 25)))
    return lambda arguments: costs[0] + max(0.0, costs[1] - costs[0]) * arguments / many


def _bind_peak(session: WholeSession, kernel: PeakKernel | None) -> Callable[[], Any] | None:
    if kernel is None:
        return None
    factor = np.full((2, kernel.lanes), 0.5, np.float32)
    return session.bind(kernel.function, factor, np.zeros((kernel.chains, kernel.lanes), np.float32))


def _rate(kernel: PeakKernel | None, times_ms: list[float], choose: Callable[[Any], Any]) -> float | None:
    return kernel.flops / float(choose(times_ms)) / 1e6 if kernel and times_ms else None


def physical_cores(cores: tuple[int, ...], folder: Path = Path("/sys/devices/system/cpu")) -> int:
    """Count the cores behind logical ones: threads of one core share its multiply-add units."""
    lists = {core: folder / f"cpu{core}" / "topology" / "thread_siblings_list" for core in cores}
    return len({path.read_text() if path.is_file() else str(core) for core, path in lists.items()})


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    low, median, high = np.percentile(values, [25, 50, 75])
    return float(low), float(median), float(high)


def _ms(work: Callable[[], Any]) -> float:
    began = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - began) / _NS_PER_MS
