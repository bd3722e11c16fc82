"""The course of one planned load test inside Locust: its clock, its schedule, its reports and its end."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import gevent
import numpy as np
from gevent.event import Event

from modeldyno.base.units import US_PER_MS
from modeldyno.loadgen.generator.crowd import Crowd, course_of, failed
from modeldyno.loadgen.generator.meter import LoopMeter
from modeldyno.loadgen.generator.progress import (
    Closing,
    Finished,
    LoadProgress,
    Started,
    Wanted,
    append_event,
)
from modeldyno.loadgen.generator.run_plan import CUT_LIMIT_S, START_LEAD_S, Plan
from modeldyno.loadgen.generator.wire.sender import NS_PER_S, now_ns, sleep_until
from modeldyno.loadgen.generator.wire.stream import Ended, append_ended
from modeldyno.loadgen.payloads.files import Draw
from modeldyno.loadgen.payloads.store import load_mix
from modeldyno.loadgen.spec.arrivals import arrivals
from modeldyno.loadgen.spec.expected import expected_of
from modeldyno.loadgen.stats.recording import US_PER_S, FailureKind, Recorder, Recording, save_recording

GIVE_UP_AFTER = 100
"""Failures without one success: the endpoint can't be measured."""
PAUSE_AFTER_BROKEN_S = 0.05
"""Before a user goes on when no answer came at all, so that a dead server is not hammered."""
LEAD_NS = int(START_LEAD_S * NS_PER_S)
CUT_LIMIT_NS = int(CUT_LIMIT_S * NS_PER_S)


class Run:
    """One load test; all its users share it."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.spec = plan, plan.spec
        self.draw = Draw(load_mix(plan.payload_file, plan.payload_index), plan.spec.seed + plan.share[0])
        self.recorder = Recorder(plan.spec.warmup_s, plan.spec.longest_s)
        self.expected = expected_of(plan.spec)
        self.timeout_ns = int(plan.spec.timeout_s * NS_PER_S)
        self.total_s = plan.spec.warmup_s + plan.spec.duration_s
        self._due_s = self._schedule()
        self._last_due_ns = 0
        self._started, self._given_up, self._halted = Event(), Event(), Event()
        self._cut = False
        self.crowd: Crowd | None = None
        self._ended = Ended(self.recorder) if plan.spec.stop_when else None
        self.waiting: dict[Any, int] = {}
        """Open loop: when what each user holds is due."""
        self._reported_ns = self._reported_successes = 0
        self._meter = LoopMeter()

    def wait_for_start(self) -> None:
        """Return when the test starts."""
        self._started.wait()
        sleep_until(self.recorder.start_ns)

    def take_arrival(self) -> int:
        """When the next arrival that nobody has taken is due, as a perf_counter time."""
        self._last_due_ns = self.recorder.start_ns + int(next(self._due_s) * NS_PER_S)
        return self._last_due_ns

    def finish(
        self,
        start_ns: int,
        ended_ns: int,
        failure: FailureKind | None,
        *,
        kind: int,
        lag_ns: int = 0,
        wait_ns: int = 0,
        status: int = 200,
    ) -> None:
        """Record a request that has ended; `kind` is that of its payload."""
        if failure is None:
            self.recorder.succeed(
                start_ns, ended_ns, lag_ns, status=status, payload_kind=kind, wait_ns=wait_ns
            )
            return
        self.recorder.fail(start_ns, ended_ns, failure, lag_ns, payload_kind=kind)
        if self.recorder.errors >= GIVE_UP_AFTER and not self.recorder.successes:
            self._given_up.set()
            self._halted.set()
        if failure.status is None and failure.kind != "unsent":
            gevent.sleep(PAUSE_AFTER_BROKEN_S)

    def control(self, environment: Any) -> None:
        """Start the clock, report each second, end when the last request of the window has ended."""
        try:
            self._gather(environment.runner)
        except Exception as error:  # the user's own file may raise anything
            append_event(self.plan.progress_file, failed(error))
            return
        self._begin()
        self._follow_until(self._after_start(self.total_s) - LEAD_NS, self._halted)
        end_ns = self._close()
        self._follow_until(end_ns, self._given_up)
        last_ns = end_ns + self.timeout_ns + NS_PER_S
        while self._unfinished(end_ns) and now_ns() < last_ns and not self._given_up.is_set():
            if self.was_cut():
                last_ns = min(last_ns, now_ns() + CUT_LIMIT_NS)  # by the first of these looks
            gevent.sleep(0.02)
        self._save(self._recording(end_ns, environment.runner.user_count))
        self._leave(environment)

    def _gather(self, runner: Any) -> None:
        """Have the first users of a number that changes; nobody sends yet."""
        course = course_of(self.plan)
        if course is not None:
            self.crowd = Crowd(course, runner, runner.user_count, self.plan.share)
            while self.crowd.look(0.0) and self.crowd.alive < self.crowd.wanted:
                gevent.sleep(0)

    def _follow_crowd(self, crowd: Crowd) -> None:
        try:
            crowd.follow(self._elapsed_s, self._tell_wanted)
        except Exception as error:  # as above
            append_event(self.plan.progress_file, failed(error))
        self._halted.set()

    def _tell_wanted(self, elapsed_s: float, users: int) -> None:
        append_event(self.plan.progress_file, Wanted(elapsed_s, users))

    def _elapsed_s(self) -> float:
        return (now_ns() - self.recorder.start_ns) / NS_PER_S

    def _begin(self) -> None:
        self._freeze()
        append_event(self.plan.progress_file, Started(time.monotonic_ns() + LEAD_NS))
        self._start_at(now_ns() + LEAD_NS)

    def _start_at(self, start_ns: int) -> None:
        self.recorder.start_ns = self._reported_ns = start_ns
        self._started.set()
        self._meter.start()
        sleep_until(start_ns)
        if self.crowd is not None:
            gevent.spawn(self._follow_crowd, self.crowd)

    def _freeze(self) -> None:
        gc.collect()
        gc.freeze()  # what lives now lives on: collections during the test need not look at it

    def _after_start(self, seconds: float) -> int:
        return self.recorder.start_ns + int(seconds * NS_PER_S)

    def _follow_until(self, moment_ns: int, event: Event) -> None:
        while now_ns() < moment_ns and not event.is_set():
            event.wait(min(1.0, max(0.0, (moment_ns - now_ns()) / NS_PER_S)))
            self._report()
            self._look_for_a_stop()

    def _look_for_a_stop(self) -> None:
        if self._ended is not None:
            append_ended(self.plan.stream_file, self._ended.take(), int(self._elapsed_s() * US_PER_S))
        if self.was_cut() or self.plan.stop_file.exists():
            self._halted.set()

    def was_cut(self) -> bool:
        """Whether the test is to end at once, with what it has."""
        self._cut = self._cut or self.plan.cut_file.exists()
        return self._cut

    def _close(self) -> int:
        """Wait for the samples that are asked for; announce the end of the window and return it."""
        last_ns = self._after_start(self.spec.warmup_s + self.spec.longest_s)
        while self.recorder.window_successes < self.spec.min_samples and now_ns() < last_ns - LEAD_NS:
            if self._halted.is_set():
                break
            self.total_s = min(self.total_s + 1.0, self.spec.warmup_s + self.spec.longest_s)
            self._follow_until(min(now_ns() + NS_PER_S, last_ns - LEAD_NS), self._halted)
        # Users of an open loop hold arrivals already, which must not be left behind the end.
        soonest_ns = now_ns() + LEAD_NS if self._cut else max(now_ns() + LEAD_NS, self._last_due_ns + 1)
        wanted_ns = 0 if self._halted.is_set() else self._after_start(self.total_s)
        end_ns = min(max(wanted_ns, soonest_ns, self._after_start(self.spec.warmup_s) + LEAD_NS), last_ns)
        self.recorder.close(end_ns, self.waiting.values() if self._cut else ())
        append_event(self.plan.progress_file, Closing(time.monotonic_ns() + end_ns - now_ns()))
        return end_ns

    def _unfinished(self, end_ns: int) -> bool:
        to_come = self.spec.rate_rps is not None and self._last_due_ns < end_ns
        return to_come or self.recorder.in_flight > 0

    def _recording(self, end_ns: int, users: int) -> Recording:
        while self.spec.rate_rps is not None and self._last_due_ns < end_ns:
            self.recorder.miss(self.take_arrival())
        return self._meter.add_to(self.recorder.recording(users), self.recorder.start_ns)

    def _save(self, recording: Recording) -> None:
        save_recording(self.plan.recording_file, recording)
        append_event(self.plan.progress_file, Finished())

    def _leave(self, environment: Any) -> None:
        environment.runner.quit()

    def _report(self) -> None:
        now, successes = now_ns(), self.recorder.successes
        elapsed_s = (now - self.recorder.start_ns) / NS_PER_S
        fresh = sorted(self.recorder.latency_us[self._reported_successes :])
        progress = LoadProgress(
            elapsed_s=elapsed_s,
            total_s=self.total_s,
            warmup=elapsed_s <= self.spec.warmup_s,
            requests=successes + self.recorder.errors,
            errors=self.recorder.errors,
            rate_rps=len(fresh) * NS_PER_S / max(1, now - self._reported_ns),
            p50_ms=fresh[len(fresh) // 2] / US_PER_MS if fresh else None,
            p99_ms=fresh[len(fresh) * 99 // 100] / US_PER_MS if fresh else None,
            users=self.crowd.alive if self.crowd else None,
        )
        self._reported_ns, self._reported_successes = now, successes
        append_event(self.plan.progress_file, progress)

    def _schedule(self) -> Iterator[float]:
        spec = self.spec
        if spec.rate_rps is None:
            return iter(())
        trace_s = np.load(self.plan.trace_file).tolist() if spec.arrival == "trace" else ()
        due = arrivals(spec.arrival, spec.rate_rps, spec.seed, burstiness=spec.burstiness, trace_s=trace_s)
        return islice(due, self.plan.share[0], None, self.plan.share[1])
