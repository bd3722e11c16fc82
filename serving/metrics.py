"""What the server counts, in the Prometheus text format."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
# 0.5 ms to 10 s, each bound about twice the last: a percentile read from the buckets is known to that factor.
_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_BUCKETS_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Meters:
    """Counters of one server, in a registry of their own. Counts requests for inferences alone."""

    def __init__(self, facts: dict[str, str], in_flight: Callable[[], float]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        Info("dyno_model", "What is served, and how.", registry=self._registry).info(facts)
        Gauge(
            "dyno_requests_in_flight", "Requests taken and not yet answered.", registry=self._registry
        ).set_function(in_flight)
        self._requests = Counter(
            "dyno_requests",
            "Requests by the HTTP status of their answer; `gone` when the client left before it was sent.",
            ["status"],
            registry=self._registry,
        )
        self._latency = Histogram(
            "dyno_request_seconds",
            "Answers with status 200: from the request's headers to the answer handed to the socket.",
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        self._inference = Histogram(
            "dyno_inference_seconds",
            "The model alone: no waiting, decoding or encoding.",
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        self._rows = Histogram(
            "dyno_batch_rows",
            "Rows in one inference of joined requests; empty where requests are not joined.",
            buckets=_BUCKETS_ROWS,
            registry=self._registry,
        )
        self._ok = self._requests.labels("200")

    def inference(self, seconds: float) -> None:
        """Count one inference."""
        self._inference.observe(seconds)

    def joined_inference(self, rows: int, seconds: float) -> None:
        """Count one inference of joined requests."""
        self._rows.observe(rows)
        self._inference.observe(seconds)

    def answered(self, status: int | None, seconds: float) -> None:
        """Count one request; `status` None: the client was gone."""
        if status == 200:
            self._ok.inc()
            self._latency.observe(seconds)
        else:
            self._requests.labels("gone" if status is None else str(status)).inc()

    def render(self) -> bytes:
        """Write all of it as Prometheus text."""
        return generate_latest(self._registry)
