"""What `run_load` hands to its Locust child: one JSON file, named by an environment variable."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.record import Record, read_record, write_record
from modeldyno.loadgen.payloads.files import Mix
from modeldyno.loadgen.payloads.store import save_mix

PLAN_VARIABLE = "DYNO_LOAD_PLAN"
WORKER_VARIABLE = "DYNO_LOAD_WORKER"
"""Names the folder of a Locust worker, which gets its plan from the master."""
JOINED_FILE = "joined"
"""Appears in the folder of a Locust worker when the master has taken it."""
LOCUSTFILE = Path(__file__).parent / "invocations.py"
MAX_POOL = 10_000
"""Requests in flight of an open loop at most, unless the user asks for more."""
SPARE_USERS = 8
"""Open loop: users that should be asleep ahead of time; also how many there are at first."""
CUT_LIMIT_S = 2.0
"""How long a test that is cut short waits for the answers to what it has sent."""
START_LEAD_S = 0.5
"""The start is announced this long before it, so that CPU readings begin with the window."""


class Plan(Record):
    """One load test and the folder in which parent and child meet."""

    spec: LoadSpec
    folder: str
    pool: int = Field(default=MAX_POOL, description="open loop: the most connections")
    share: tuple[int, int] = Field(
        default=(0, 1),
        description="(k, n): arrivals k, k + n, k + 2n, ... are this process's. All n together send the very "
        "schedule that one process would",
    )
    workers: int = Field(default=1, description="processes that send; above 1 this one is Locust's master")
    cpus: tuple[int, ...] | None = Field(default=None, description="cores the generator is pinned to")

    @property
    def payload_file(self) -> Path:
        """The request bodies."""
        return Path(self.folder) / "payload.bin"

    @property
    def payload_index(self) -> Path:
        """Where in that file each body is."""
        return Path(self.folder) / "payload.json"

    @property
    def trace_file(self) -> Path:
        """Arrival times of a trace, in seconds; there for that kind of arrivals only."""
        return Path(self.folder) / "trace.npy"

    @property
    def progress_file(self) -> Path:
        """JSON lines that the child adds to, about one a second."""
        return Path(self.folder) / "progress.jsonl"

    @property
    def stream_file(self) -> Path:
        """What has ended so far, for the stop rules; there for tests with rules only."""
        return Path(self.folder) / "stream.bin"

    @property
    def stop_file(self) -> Path:
        """Appears when a stop rule is met."""
        return Path(self.folder) / "stop"

    @property
    def cut_file(self) -> Path:
        """Appears when the test is to end at once, with what it has."""
        return Path(self.folder) / "cut"

    @property
    def recording_file(self) -> Path:
        """What was measured; appears when all is done."""
        return Path(self.folder) / "recording.npz"

    @property
    def sent_names(self) -> tuple[str, ...]:
        """Files and folders of the plan that a worker needs."""
        return ("plan.json", self.payload_file.name, self.payload_index.name, self.trace_file.name)

    def part_file(self, worker: int) -> Path:
        """What one of several workers recorded."""
        return Path(self.folder) / f"recording-{worker}.npz"

    @property
    def log_file(self) -> Path:
        """What Locust says."""
        return Path(self.folder) / "locust.log"


def write_plan(plan: Plan, mix: Mix, trace_s: Sequence[float] = ()) -> Path:
    """Lay out the folder for a child; return the plan's file."""
    path = Path(plan.folder) / "plan.json"
    save_mix(mix, plan.payload_file, plan.payload_index)
    if trace_s:
        np.save(plan.trace_file, np.asarray(trace_s, np.float64))
    write_record(path, plan)
    return path


def plan_from_environment() -> Plan | None:
    """Return the plan of this process, or None in a Locust that a user started."""
    path = os.environ.get(PLAN_VARIABLE)
    return read_record(Path(path), Plan) if path else None
