"""What the server counts, in the Prometheus text format.

Each worker process counts in its own row of the board, and whoever is asked adds up the rows: a scrape is of
the whole server, whichever process answers it.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from modeldyno.serving.meters.board import FIRST_FREE, Board, Member, Row

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

CONTENT_TYPE = CONTENT_TYPE_LATEST
# 0.5 ms to 10 s, each bound about twice the last: a percentile read from the buckets is known to that factor.
_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BUCKETS_ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
_STATUSES = 600  # a cell for each; that of 0 is for clients that left
_LEAST = {"process_start_time_seconds", "process_max_fds"}


@dataclass(frozen=True)
class _Histogram:
    """Where one histogram is in a row: its sum, then a cell for each bound and one for what is over all."""

    name: str
    text: str
    bounds: tuple[float, ...]
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.bounds) + 2

    def observe(self, cells: memoryview[float], value: float) -> None:
        cells[self.start] += value
        cells[self.start + 1 + bisect_left(self.bounds, value)] += 1.0

    def family(self, rows: Iterable[Row]) -> HistogramMetricFamily:
        total, *counts = map(sum, zip(*(row.cells[self.start : self.end] for row in rows), strict=True))
        names = [*map(str, self.bounds), "+Inf"]
        buckets = list(zip(names, accumulate(counts), strict=True))
        return HistogramMetricFamily(self.name, self.text, buckets=buckets, sum_value=total)


_LATENCY = _Histogram(
    "dyno_request_seconds",
    "Answers with status 200: from the request's headers to the answer handed to the socket.",
    _BUCKETS_S,
    FIRST_FREE + _STATUSES,
)
_INFERENCE = _Histogram(
    "dyno_inference_seconds", "The model alone: no waiting, decoding or encoding.", _BUCKETS_S, _LATENCY.end
)
_ROWS = _Histogram(
    "dyno_batch_rows",
    "Rows in one inference of joined requests; empty where requests are not joined.",
    _BUCKETS_ROWS,
    _INFERENCE.end,
)
END = _ROWS.end
"""The first cell of a row behind what is counted here."""


class Meters:
    """Counts in the row of the process `member`. Counts requests for inferences alone."""

    def __init__(self, member: Member) -> None:
        self._cells = member.row.cells
        self._lock = threading.Lock()  # inferences are counted by the threads that run them
        self._registry = CollectorRegistry()
        self._models = _Models()
        self._registry.register(self._models)
        self._registry.register(_Totals(member.board))
        self._registry.register(_Processes(member.board))

    def add_model(self, name: str, facts: dict[str, str], memory_bytes: int) -> None:
        """Tell of a model: what it is and how it is served, and what the process grew by for it."""
        self._models.add(name, facts, memory_bytes)

    def inference(self, seconds: float) -> None:
        """Count one inference."""
        with self._lock:
            _INFERENCE.observe(self._cells, seconds)

    def joined_inference(self, rows: int, seconds: float) -> None:
        """Count one inference of joined requests."""
        with self._lock:
            _ROWS.observe(self._cells, rows)
            _INFERENCE.observe(self._cells, seconds)

    def answered(self, status: int | None, seconds: float) -> None:
        """Count one request; `status` None: the client was gone. On the event loop only."""
        self._cells[FIRST_FREE + (status or 0)] += 1.0
        if status == 200:
            _LATENCY.observe(self._cells, seconds)

    def render(self) -> bytes:
        """Write all of it as Prometheus text."""
        return generate_latest(self._registry)


class _Models(Collector):
    """What is served, and how."""

    def __init__(self) -> None:
        self._facts: list[dict[str, str]] = []
        self._memory_bytes: dict[str, int] = {}

    def add(self, name: str, facts: dict[str, str], memory_bytes: int) -> None:
        """Tell of one more."""
        self._facts.append(facts)
        self._memory_bytes[name] = memory_bytes

    def collect(self) -> Iterator[Metric]:
        """Give an entry for each model."""
        labels = list(self._facts[0]) if self._facts else []
        models = InfoMetricFamily("dyno_model", "What is served, and how.", labels=labels)
        for facts in self._facts:
            models.add_metric(list(facts.values()), {})
        yield models
        memory = GaugeMetricFamily(
            "dyno_model_memory_bytes", "What this process grew by as it loaded a model.", labels=["name"]
        )
        for name, memory_bytes in self._memory_bytes.items():
            memory.add_metric([name], memory_bytes)
        yield memory


class _Totals(Collector):
    """The sums of what the worker processes counted."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        rows = self._board.rows
        yield GaugeMetricFamily(
            "dyno_requests_in_flight",
            "Requests taken and not yet answered.",
            value=sum(row.in_flight for row in rows),
        )
        yield GaugeMetricFamily(
            "dyno_processes", "Worker processes that are ready.", value=sum(row.ready for row in rows)
        )
        yield GaugeMetricFamily(
            "dyno_processes_stuck",
            "Worker processes in which each worker runs a request past its deadline.",
            value=sum(row.ready and row.stuck for row in rows),
        )
        yield CounterMetricFamily(
            "dyno_restarts", "Worker processes that were started again.", value=self._board.restarts
        )
        requests = CounterMetricFamily(
            "dyno_requests",
            "Requests by the HTTP status of their answer; `gone` when the client left before it was sent.",
            labels=["status"],
        )
        for status in range(_STATUSES):
            count = sum(row.cells[FIRST_FREE + status] for row in rows)
            if count or status == 200:
                requests.add_metric([str(status or "gone")], count)
        yield requests
        for histogram in (_LATENCY, _INFERENCE, _ROWS):
            yield histogram.family(rows)


class _Processes(Collector):
    """The usual metrics of a process: sums over the worker processes, of limits and start times the least."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        found: dict[str, Metric] = {}
        values: dict[str, list[float]] = {}
        for pid in [row.pid for row in self._board.rows if row.pid]:
            for family in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
                found.setdefault(family.name, family)
                values.setdefault(family.name, []).append(family.samples[0].value)
        for name, family in found.items():
            value = min(values[name]) if name in _LEAST else sum(values[name])
            family.samples = [family.samples[0]._replace(value=value)]
            yield family
