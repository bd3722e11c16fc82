"""A finished artifact of several shapes, tried: is it right between its buckets, how long does each take."""

from __future__ import annotations

import statistics
import time
from contextlib import suppress

from compiler.any_shape import Feeds, seeded_feeds
from compiler.frontends.family import Family
from compiler.verify import compare
from dyno.errors import ParityError, RequestError
from runtime.axes import Sizes
from runtime.bucket_records import Bucket
from runtime.buckets import BucketedSession
from runtime.manifest import Manifest, Parity, ParityReport

BUDGET_S, LEAST_ROUNDS, MOST_ROUNDS = 0.3, 5, 50  # for each bucket


def check_between(
    family: Family, session: BucketedSession, manifest: Manifest, *, seed: int, target: str
) -> ParityReport:
    """Run each bucket on what it pads most; that again as the runtime would. Give the worst figures.

    Raises:
        ParityError: an output differs from the source model's by more than the buckets' own tolerance.
    """
    if manifest.parity is None or manifest.buckets is None:
        raise ValueError("only an artifact of buckets that was checked itself can be checked between them")
    worst = {row.output: row for row in manifest.parity.outputs}
    for bucket in manifest.buckets.buckets:
        if bucket.worst_sizes == bucket.sizes:
            continue  # which the bucket's own parity check has run
        feeds = seeded_feeds(session.axes.shapes(bucket.worst_sizes), family.dtypes, seed)
        expected = family.reference(feeds)
        for found in (session.run_in(bucket.sizes, feeds), session.run(feeds)):
            for (name, wanted), got in zip(expected.items(), found.values(), strict=True):
                row = compare(name, wanted, got)
                _check(row, bucket, manifest.parity, target)
                if not row.max_rel <= worst[name].max_rel:
                    worst[name] = row
    return manifest.parity.model_copy(update={"outputs": tuple(worst.values())})


def _check(row: Parity, bucket: Bucket, report: ParityReport, target: str) -> None:
    if row.max_rel <= report.tolerance_max_rel:
        return
    raise ParityError(
        f"a request of {_shown(bucket.worst_sizes)}, padded to bucket {_shown(bucket.sizes)}: output "
        f"{row.output!r} differs from {report.reference} by {row.max_rel:.2e} of its largest value "
        f"(tolerance {report.tolerance_max_rel:.0e}); the artifact is not kept",
        stage="verify",
        target=target,
    )


def measure(session: BucketedSession) -> dict[Sizes, float]:
    """Time one full run of each bucket, in turns: the medians in milliseconds."""
    buckets = session.manifest.buckets.buckets if session.manifest.buckets else ()
    dtypes = {spec.name: spec.dtype for spec in session.inputs}
    feeds = {bucket.sizes: seeded_feeds(session.axes.shapes(bucket.sizes), dtypes, 0) for bucket in buckets}
    for sizes, given in feeds.items():
        _run(session, sizes, given)
    times: dict[Sizes, list[float]] = {sizes: [] for sizes in feeds}
    began = time.perf_counter()
    for number in range(MOST_ROUNDS):
        if number >= LEAST_ROUNDS and time.perf_counter() - began > BUDGET_S * len(feeds):
            break
        for sizes, given in feeds.items():
            start = time.perf_counter()
            _run(session, sizes, given)
            times[sizes].append((time.perf_counter() - start) * 1000)
    return {sizes: round(statistics.median(found), 4) for sizes, found in times.items()}


def _run(session: BucketedSession, sizes: Sizes, feeds: Feeds) -> None:
    """Run a bucket; what its guards refuse of random numbers has taken the same time."""
    with suppress(RequestError):
        session.run_in(sizes, feeds)


def _shown(sizes: Sizes) -> str:
    return "x".join(map(str, sizes))
