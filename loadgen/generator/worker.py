"""The part of a distributed load test in one Locust worker: its plan comes from the master, so does the time.

A worker on the machine of the master starts at the very moment that the master names, since both read the
same clock. One on another machine counts from the arrival of the message: it starts late by as long as the
message took, and says so nowhere, since it can't know. Each worker's own latencies, lateness and CPU rest on
its own clock alone.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gevent
import numpy as np
from gevent.event import AsyncResult, Event

from modeldyno.base.errors import DynoError
from modeldyno.base.records.record import read_record
from modeldyno.loadgen.generator import messages
from modeldyno.loadgen.generator.control import LEAD_NS, Run
from modeldyno.loadgen.generator.run_plan import JOINED_FILE, Plan
from modeldyno.loadgen.generator.wire.sender import NS_PER_S, now_ns
from modeldyno.loadgen.stats.recording import NS_PER_US, US_PER_S, Recording, recording_bytes

PLAN_LIMIT_S = 30.0
LOOK_EVERY_S = 0.02
log = logging.getLogger(__name__)


class WorkerRun(Run):
    """A `Run` that is begun and closed by the master, and sends it what it recorded."""

    def __init__(self, plan: Plan, runner: Any) -> None:
        super().__init__(plan)
        self._runner = runner
        self.begin, self.close = AsyncResult(), AsyncResult()

    def _gather(self, runner: Any) -> None:
        self._wait_for_users()
        super()._gather(runner)

    def _begin(self) -> None:
        self._runner.send_message(messages.READY, {})
        start_ns = self.begin.get()
        self._freeze()
        self._start_at(start_ns)

    def _wait_for_users(self) -> None:
        while not self._runner.target_user_count or self._runner.user_count < self._runner.target_user_count:
            gevent.sleep(LOOK_EVERY_S)

    def _follow_until(self, moment_ns: int, event: Event) -> None:  # noqa: ARG002
        """Report until then; of what may come before it, the master says when the window ends."""
        while now_ns() < moment_ns and not self.close.ready():
            self.close.wait(min(1.0, max(0.0, (moment_ns - now_ns()) / NS_PER_S)))
            self._report()

    def _close(self) -> int:
        while not self.close.ready():
            self.close.wait(1.0)
            self._report()
        end_us, stop = self.close.get()
        if stop:
            self._given_up.set()
        else:
            self._given_up.clear()  # others succeed: this one's failures count like theirs
        end_ns = self.recorder.start_ns + int(end_us) * NS_PER_US
        self.recorder.close(end_ns, self.waiting.values())
        while now_ns() < end_ns and not self._given_up.is_set():
            self._given_up.wait(min(1.0, max(0.0, (end_ns - now_ns()) / NS_PER_S)))
            self._report()
        return end_ns

    def _report(self) -> None:
        recorder = self.recorder
        fresh = np.array(recorder.latency_us[self._reported_successes :], np.int64)
        self._reported_successes += len(fresh)
        state = {
            "successes": recorder.successes,
            "errors": recorder.errors,
            "window_successes": recorder.window_successes,
            "given_up": self._given_up.is_set(),
            "fresh_us": fresh.tobytes(),
            "users": self.crowd.alive if self.crowd else None,
            "ended": self._ended.take() if self._ended else b"",
            "clock_us": int(self._elapsed_s() * US_PER_S),
        }
        self._runner.send_message(messages.STATE, state)

    def cut_short(self) -> None:
        """Have it wait no longer than a moment for what it has sent."""
        self._cut = True

    def was_cut(self) -> bool:
        """As the master says it."""
        return self._cut

    def _save(self, recording: Recording) -> None:
        whole = recording_bytes(recording)
        for first in range(0, len(whole), messages.PIECE_BYTES):
            piece = whole[first : first + messages.PIECE_BYTES]
            last = first + len(piece) == len(whole)
            self._runner.send_message(messages.PART, {"piece": piece, "last": last})
            gevent.sleep(0)

    def _leave(self, environment: Any) -> None:
        """Stay until the master has all it wants: it ends its workers."""


class WorkerEnd:
    """The connection to the master; gives the run once its plan has come."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._come = Event()
        self._run: WorkerRun | None = None
        self._environment: Any = None

    def run(self) -> WorkerRun:
        """Wait for the plan; called by the first user."""
        self._come.wait(PLAN_LIMIT_S)
        if self._run is None:
            raise RuntimeError(f"the master sent no plan within {PLAN_LIMIT_S:g} s")
        return self._run

    def attach_to(self, environment: Any, **_: Any) -> None:
        """Say hello to the master."""
        self._environment = environment
        handlers = {
            messages.PLAN: self._planned,
            messages.REFUSED: self._refused,
            messages.BEGIN: self._begin,
            messages.CLOSE: self._close,
            messages.CUT: self._cut,
        }
        for name, handler in handlers.items():
            environment.runner.register_message(name, handler)
        hello = {"version": version("modeldyno"), "host": socket.gethostname(), "pid": os.getpid()}
        environment.runner.send_message(messages.HELLO, hello)

    def _planned(self, msg: Any, **_: Any) -> None:
        try:
            messages.unpack_folder(msg.data["files"], self._folder)
            plan = read_record(self._folder / "plan.json", Plan)
        except DynoError as error:
            self._give_up(str(error))
            return
        mine = {"folder": str(self._folder), "share": tuple(msg.data["share"])}
        plan = plan.model_copy(update=mine)
        if plan.cpus and msg.data["boot_id"] == messages.boot_id():
            os.sched_setaffinity(0, plan.cpus)
        (self._folder / JOINED_FILE).touch()
        self._run = WorkerRun(plan, self._environment.runner)
        self._come.set()
        gevent.spawn(self._run.control, self._environment)

    def _refused(self, msg: Any, **_: Any) -> None:
        self._give_up(str(msg.data["why"]))

    def _give_up(self, why: str) -> None:
        log.error("%s", why)
        self._environment.process_exit_code = 2
        self._environment.runner.quit()

    def _begin(self, msg: Any, **_: Any) -> None:
        if self._run is None:
            return
        left_ns = LEAD_NS
        if msg.data["boot_id"] and msg.data["boot_id"] == messages.boot_id():
            left_ns = msg.data["start_monotonic_ns"] - time.monotonic_ns()
        self._run.begin.set(now_ns() + left_ns)

    def _cut(self, msg: Any, **_: Any) -> None:  # noqa: ARG002 - Locust's signature
        if self._run is not None:
            self._run.cut_short()

    def _close(self, msg: Any, **_: Any) -> None:
        if self._run is not None:
            self._run.close.set((msg.data["end_us"], msg.data["stop"]))
