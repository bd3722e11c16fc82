"""A distributed load test in Locust's master: it sends no request, but says when and for how long.

The schedule of an open loop is dealt out: of n workers the k-th sends arrivals k, k + n, k + 2n, ..., so that
all together send exactly what one process would. What the workers recorded is put down as files, one for
each; one that is lost leaves none, and the rest goes on without it.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gevent
import numpy as np

from modeldyno.base.files import write_bytes
from modeldyno.base.units import US_PER_MS
from modeldyno.loadgen.generator import messages
from modeldyno.loadgen.generator.control import CUT_LIMIT_NS, GIVE_UP_AFTER, LEAD_NS
from modeldyno.loadgen.generator.progress import Closing, Finished, LoadProgress, Started, append_event
from modeldyno.loadgen.generator.run_plan import Plan
from modeldyno.loadgen.generator.wire.sender import NS_PER_S
from modeldyno.loadgen.generator.wire.stream import append_ended
from modeldyno.loadgen.stats.recording import NS_PER_US

LOOK_EVERY_S = 0.05
TELL_EVERY_S = 5.0
LAST_WORDS_S = 20.0
"""How long after its last answer a living worker may take to send its recording."""
MAX_RECORDING_BYTES = 4 << 30
EXIT_LOST = 2
log = logging.getLogger(__name__)


@dataclass
class Member:
    """What the master knows of one worker."""

    number: int
    name: str
    ready: bool = False
    successes: int = 0
    errors: int = 0
    window_successes: int = 0
    given_up: bool = False
    users: int | None = None
    clock_us: int = 0
    """Up to when it has told what ended."""
    fresh_us: list[bytes] = field(default_factory=list)
    ended: list[bytes] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    done: bool = False


class Conductor:
    """Master's side of one load test."""

    def __init__(self, environment: Any, plan: Plan) -> None:
        self.environment, self.plan, self.spec = environment, plan, plan.spec
        self.members: dict[str, Member] = {}
        self.total_s = plan.spec.warmup_s + plan.spec.duration_s
        self._start_ns = self._reported_ns = 0
        self._conducting = self._halted = self._closed = False
        self._told = False
        """Whether the workers know that the test was cut short."""
        handlers = {
            messages.HELLO: self._hello,
            messages.READY: self._ready,
            messages.STATE: self._state,
            messages.PART: self._part,
        }
        for name, handler in handlers.items():
            environment.runner.register_message(name, handler)
        gevent.spawn(self._tell_who_is_missing)

    def _tell_who_is_missing(self) -> None:
        """Say now and then, until all are there, how many are."""
        gevent.sleep(TELL_EVERY_S)
        while not self._start_ns:
            ready = sum(member.ready for member in self.members.values())
            came = f"{len(self.members)} of {self.plan.workers} workers have come, {ready} are ready"
            append_event(self.plan.progress_file, LoadProgress.waiting(came))
            gevent.sleep(TELL_EVERY_S)

    def conduct(self) -> None:
        """Run the test once all users are there; when Locust deals them out anew, nothing more happens."""
        if self._conducting:
            return
        self._conducting = True
        if not self._all_ready():
            return
        # The load is fixed from here on: whoever comes or goes, no users are dealt out anew.
        self.environment.runner.start = lambda *_, **__: None
        self._begin()
        self._follow_until(self._moment(self.total_s) - LEAD_NS)
        end_ns = self._close()
        self._follow_until(end_ns)
        self._wait_for_recordings(end_ns + int((self.spec.timeout_s + 1 + LAST_WORDS_S) * NS_PER_S))
        append_event(self.plan.progress_file, Finished())
        self.environment.runner.quit()

    def _wait_for_recordings(self, last_ns: int) -> None:
        while time.monotonic_ns() < last_ns and self._any(lambda member: not member.done):
            if self._was_cut() and not self._told:
                self._told = True
                last_ns = min(last_ns, time.monotonic_ns() + CUT_LIMIT_NS + int(LAST_WORDS_S * NS_PER_S))
                self.environment.runner.send_message(messages.CUT, {})
            gevent.sleep(LOOK_EVERY_S)

    def _was_cut(self) -> bool:
        """Whether the test is to end at once, with what it has."""
        return self.plan.cut_file.exists()

    def _all_ready(self) -> bool:
        """Wait for all workers, as long as the parent lets this process live; one that goes ends the test."""
        while sum(member.ready for member in self.members.values()) < self.plan.workers:
            gone = [member.name for client, member in self.members.items() if not self._lives(client)]
            if gone:
                log.error("a worker went before the test began: %s", "; ".join(gone))
                self.environment.process_exit_code = EXIT_LOST
                self.environment.runner.quit()
                return False
            gevent.sleep(LOOK_EVERY_S)
        return True

    def _begin(self) -> None:
        self._start_ns = self._reported_ns = time.monotonic_ns() + LEAD_NS
        append_event(self.plan.progress_file, Started(self._start_ns))
        begin = {"boot_id": messages.boot_id(), "start_monotonic_ns": self._start_ns}
        self.environment.runner.send_message(messages.BEGIN, begin)

    def _moment(self, seconds: float) -> int:
        return self._start_ns + int(seconds * NS_PER_S)

    def _follow_until(self, moment_ns: int) -> None:
        while (now_ns := time.monotonic_ns()) < moment_ns and not self._hopeless():
            gevent.sleep(min(1.0, (moment_ns - now_ns) / NS_PER_S))
            self._report()
            if self._stopped():
                return

    def _stopped(self) -> bool:
        """Give the parent what its rules need, and look whether the test is to end before its window does."""
        if self._closed:
            return False
        self._halted = self._was_cut()
        if not self.spec.stop_when:
            return self._halted
        pairs = b"".join(piece for member in self.members.values() for piece in member.ended)
        for member in self.members.values():
            member.ended.clear()
        append_ended(
            self.plan.stream_file, pairs, min((member.clock_us for member in self._living()), default=0)
        )
        self._halted = self._halted or self.plan.stop_file.exists()
        return self._halted

    def _hopeless(self) -> bool:
        """Nothing succeeds anywhere, or nobody is left."""
        members = self.members.values()
        failing = sum(member.errors for member in members) >= GIVE_UP_AFTER
        nothing = failing and not sum(member.successes for member in members)
        return nothing or not self._any(lambda member: not member.given_up)

    def _close(self) -> int:
        """Wait for the samples that are asked for; tell all when the window ends."""
        last_ns = self._moment(self.spec.warmup_s + self.spec.longest_s)
        while self._window_successes() < self.spec.min_samples and not self._hopeless():
            if time.monotonic_ns() >= last_ns - LEAD_NS or self._halted:
                break
            self.total_s = min(self.total_s + 1.0, self.spec.warmup_s + self.spec.longest_s)
            self._follow_until(min(time.monotonic_ns() + NS_PER_S, last_ns - LEAD_NS))
        stop = self._hopeless()
        wanted_ns = 0 if self._halted else self._moment(self.total_s)
        soonest_ns = max(time.monotonic_ns(), self._moment(self.spec.warmup_s)) + LEAD_NS
        end_ns = min(max(wanted_ns, soonest_ns), last_ns)
        self._closed = True
        append_event(self.plan.progress_file, Closing(end_ns))
        close = {"end_us": (end_ns - self._start_ns) // NS_PER_US, "stop": stop}
        self.environment.runner.send_message(messages.CLOSE, close)
        return end_ns

    def _window_successes(self) -> int:
        return sum(member.window_successes for member in self.members.values())

    def _any(self, wanted: Any) -> bool:
        """Whether a worker that still lives is one of those."""
        return any(map(wanted, self._living()))

    def _living(self) -> list[Member]:
        return [member for client, member in self.members.items() if self._lives(client)]

    def _lives(self, client: str) -> bool:
        node = self.environment.runner.clients.get(client)
        return node is not None and node.state != "missing"

    def _report(self) -> None:
        members, now_ns = self.members.values(), time.monotonic_ns()
        pieces = [piece for member in members for piece in member.fresh_us]
        for member in members:
            member.fresh_us.clear()
        fresh = np.sort(np.frombuffer(b"".join(pieces), np.int64))
        errors = sum(member.errors for member in members)
        elapsed_s = (now_ns - self._start_ns) / NS_PER_S
        progress = LoadProgress(
            elapsed_s=elapsed_s,
            total_s=self.total_s,
            warmup=elapsed_s <= self.spec.warmup_s,
            requests=sum(member.successes for member in members) + errors,
            errors=errors,
            rate_rps=len(fresh) * NS_PER_S / max(1, now_ns - self._reported_ns),
            p50_ms=float(fresh[len(fresh) // 2]) / US_PER_MS if len(fresh) else None,
            p99_ms=float(fresh[len(fresh) * 99 // 100]) / US_PER_MS if len(fresh) else None,
            users=self._users(),
        )
        self._reported_ns = now_ns
        append_event(self.plan.progress_file, progress)

    def _users(self) -> int | None:
        """How many there are, where their number changes."""
        known = [member.users for member in self._living() if member.users is not None]
        return sum(known) if known else None

    def _hello(self, msg: Any, **_: Any) -> None:
        data, client = msg.data, msg.node_id
        why = self._objection(data)
        if why:
            self.environment.runner.send_message(messages.REFUSED, {"why": why}, client)
            return
        name = f"{str(data.get('host'))[:100]}, process {data.get('pid')}"
        self.members[client] = Member(len(self.members), name)
        order = {
            "files": messages.pack_folder(Path(self.plan.folder), list(self.plan.sent_names)),
            "share": (self.members[client].number, self.plan.workers),
            "boot_id": messages.boot_id(),
        }
        self.environment.runner.send_message(messages.PLAN, order, client)

    def _objection(self, data: dict[str, Any]) -> str:
        if data.get("version") != version("modeldyno"):
            return f"the master runs modeldyno {version('modeldyno')}, this worker {data.get('version')}"
        if len(self.members) == self.plan.workers:
            return f"the master has its {self.plan.workers} workers already"
        return ""

    def _ready(self, msg: Any, **_: Any) -> None:
        if msg.node_id in self.members:
            self.members[msg.node_id].ready = True

    def _state(self, msg: Any, **_: Any) -> None:
        member = self.members.get(msg.node_id)
        if member is not None:
            member.successes, member.errors = int(msg.data["successes"]), int(msg.data["errors"])
            member.window_successes = int(msg.data["window_successes"])
            member.given_up = bool(msg.data["given_up"])
            member.fresh_us.append(msg.data["fresh_us"])
            member.ended.append(msg.data["ended"])
            member.users, member.clock_us = msg.data["users"], int(msg.data["clock_us"])

    def _part(self, msg: Any, **_: Any) -> None:
        member = self.members.get(msg.node_id)
        if member is None or member.done:
            return
        member.pieces.append(msg.data["piece"])
        if sum(map(len, member.pieces)) > MAX_RECORDING_BYTES:
            log.error("%s sent more than a recording can be: it is left out", member.name)
            member.pieces.clear()
            member.done = True
        elif msg.data["last"]:
            write_bytes(self.plan.part_file(member.number), b"".join(member.pieces))
            member.pieces.clear()
            member.done = True
