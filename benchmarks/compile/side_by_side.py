"""Peers measured in turns: A B C A B C, each in a process of its own on the same cores."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from modeldyno.base.process.procs import PARENT_VARIABLE, python_module

ROUND_MS = 500.0  # how long a peer's turn lasts, about
SLOW_MS, SLOW_ROUNDS = 2000.0, 2  # a peer with inferences longer than this takes part in so many rounds only
MOST_REPEATS = 500


class PeerFailedError(Exception):
    """A peer can't be measured; the text is the reason that the report gives."""


@dataclass(frozen=True)
class Measured:
    """What was measured of one model with one number of threads, by peer.

    ms: one figure a round, the median of the round's inferences; NaN where a slow peer sat out.
    missing: peers that gave no figure, and why.
    """

    ms: dict[str, list[float]] = field(default_factory=dict)
    peak_rss_mb: dict[str, float] = field(default_factory=dict)
    load_s: dict[str, float] = field(default_factory=dict)
    how: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where a model lies for the peers.

    name: in the zoo; empty for a file of the user's.
    folder: holds feeds.npz and takes the outputs as PEER.npz.
    """

    name: str
    model: Path
    artifact: Path
    folder: Path

    def arguments(self, threads: int) -> tuple[str, ...]:
        """What a peer's process is told."""
        return str(self.folder), str(threads), self.name, str(self.model), str(self.artifact)


class Worker:
    """A peer's process, spoken to in JSON lines."""

    def __init__(self, peer: str, place: Place, threads: int) -> None:
        self.repeats = 1
        self.slow = False
        self.log = place.folder / f"{peer}.log"
        # No peer is pinned: each may use every core that this process may, with `threads` threads.
        counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TVM_NUM_THREADS"), str(threads))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                python_module("benchmarks.compile.peer_worker", peer, *place.arguments(threads)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **counts, PARENT_VARIABLE: str(os.getpid())},
                start_new_session=True,
            )

    def ask(self, message: dict[str, Any] | None) -> dict[str, Any]:
        """Send a message (None: nothing) and return the next answer.

        Raises:
            PeerFailedError: the peer reports an error, or its process is gone.
        """
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            raise PeerFailedError("the peer has no pipes")
        with suppress(BrokenPipeError):  # the answer below tells how it ended
            if message is not None:
                stdin.write(json.dumps(message) + "\n")
                stdin.flush()
        line = stdout.readline()
        if not line:
            raise PeerFailedError(f"its process ended with code {self.process.wait()}{self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerFailedError(answer["error"])
        return answer

    def prepare(self) -> dict[str, Any]:
        """Wait until the model is loaded, warm up, and choose how many inferences make a turn."""
        ready = self.ask(None)
        typical_ms = self._median_ms(warm=0, repeat=1)
        if typical_ms < SLOW_MS:
            typical_ms = self._median_ms(warm=1, repeat=3)
        self.slow = typical_ms > SLOW_MS
        self.repeats = max(1 if self.slow else 3, min(MOST_REPEATS, round(ROUND_MS / typical_ms)))
        return ready

    def turn_ms(self) -> float:
        """Take one turn; the first inference after the others' turns is not counted."""
        return self._median_ms(warm=0 if self.slow else 1, repeat=self.repeats)

    def stop(self) -> None:
        """End the process and what it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _median_ms(self, warm: int, repeat: int) -> float:
        return float(np.median(self.ask({"warm": warm, "repeat": repeat})["ms"]))

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return f": {lines[-1][:200]}" if lines else ""


def measure(
    peers: Sequence[str], place: Place, *, threads: int, rounds: int, missing: dict[str, str]
) -> Measured:
    """Measure the peers in turns; `missing` names peers that are known to fail, with the reason."""
    found = Measured(missing=dict(missing))
    with _workers(found) as workers:
        for peer in peers:
            if peer not in missing:
                with _failing(found, workers, peer):
                    workers[peer] = Worker(peer, place, threads)
                    _note_ready(found, peer, workers[peer].prepare())
        for turn in range(rounds):
            print(".", end="", file=sys.stderr, flush=True)
            for peer in tuple(workers):
                with _failing(found, workers, peer):
                    sits_out = workers[peer].slow and turn >= SLOW_ROUNDS
                    found.ms[peer].append(float("nan") if sits_out else workers[peer].turn_ms())
        for peer in tuple(workers):
            with _failing(found, workers, peer):
                found.peak_rss_mb[peer] = float(workers[peer].ask({"memory": True})["peak_rss_mb"])
    return found


def _note_ready(found: Measured, peer: str, ready: dict[str, Any]) -> None:
    found.ms[peer] = []
    found.load_s[peer] = round(float(ready["load_s"]), 2)
    if ready["how"]:
        found.how[peer] = str(ready["how"])


@contextmanager
def _workers(found: Measured) -> Iterator[dict[str, Worker]]:
    """Hold the running peers by name; whatever happens, none of them is left running."""
    workers: dict[str, Worker] = {}
    try:
        yield workers
    finally:
        for worker in workers.values():
            worker.stop()
        for peer in found.missing:
            found.ms.pop(peer, None)


@contextmanager
def _failing(found: Measured, workers: dict[str, Worker], peer: str) -> Iterator[None]:
    """Turn a peer's failure into a reason, and carry on with the others."""
    try:
        yield
    except PeerFailedError as error:
        found.missing[peer] = str(error)
        if peer in workers:
            workers.pop(peer).stop()
