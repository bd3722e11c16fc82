"""A finished artifact of several shapes, tried: is it right between its buckets, how long does each take."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from modeldyno.base.errors import RequestError
from modeldyno.base.records.record import TensorSpec
from modeldyno.compiler.check.judgement import Bounds
from modeldyno.compiler.check.sample_runs import GIVEN
from modeldyno.compiler.check.verify import Checked, check
from modeldyno.compiler.frontends.family import Family
from modeldyno.compiler.model.fixed_shapes import Shapes
from modeldyno.compiler.model.source import Source, UserInputs
from modeldyno.compiler.ranges.any_shape import Feeds, seeded_feeds
from modeldyno.runtime.records.origin import Road
from modeldyno.runtime.records.parity import Distance, Parity, ParityReport, ParitySample
from modeldyno.runtime.sessions.axes import Sizes
from modeldyno.runtime.sessions.buckets import BucketedSession

BUDGET_S, LEAST_ROUNDS, MOST_ROUNDS = 0.3, 5, 50  # for each bucket


@dataclass(frozen=True)
class Between:
    """A finished artifact of several shapes, the model that it was made from, and how they are compared."""

    family: Family
    session: BucketedSession
    seed: int
    bounds: Bounds

    def source(self, shapes: Shapes, feeds: Feeds | None) -> Source:
        """Give the model as it is, of any shape, as the source of a check on `feeds` alone."""
        family = self.family
        specs = [
            TensorSpec(name=name, dtype=family.dtypes[name], shape=shape) for name, shape in shapes.items()
        ]
        return Source(
            name=family.name,
            frontend="",
            digest="",
            inputs=tuple(specs),
            outputs=(),
            import_relax=lambda: None,
            reference=family.reference,
            reference_name=self.session.manifest.parity.reference if self.session.manifest.parity else "",
            road=Road(name=""),
            rounded=family.rounded,
            feeds=None if feeds is None else lambda _seed: feeds,
        )


@dataclass(frozen=True)
class _Running:
    """What runs a request: one bucket, or whatever the runtime takes."""

    run: Callable[[Feeds], Feeds]


def check_between(between: Between, records: Sequence[UserInputs] = (), *, target: str) -> list[ParityReport]:
    """Run each bucket on what it pads most, and that again as the runtime would; then the user's records.

    Raises:
        ParityError: an output differs from the source model's by more than is allowed.
    """
    return [checked.passed(where, target) for checked, where in _checks(between, records)]


def _checks(between: Between, records: Sequence[UserInputs]) -> Iterator[tuple[Checked, str]]:
    """Give what each check found, and what was asked for in it."""
    session, axes = between.session, between.session.axes
    buckets = session.manifest.buckets.buckets if session.manifest.buckets else ()
    for bucket in buckets:
        if bucket.worst_sizes == bucket.sizes:
            continue  # which the bucket's own parity check has run
        shapes, wanted = axes.shapes(bucket.worst_sizes), shown(bucket.worst_sizes)
        family = between.family
        feeds = seeded_feeds(shapes, family.dtypes, between.seed, family.divisors())
        in_bucket = partial(session.run_in, bucket.sizes)
        for run, how in ((in_bucket, f", padded to bucket {shown(bucket.sizes)}"), (session.run, "")):
            yield _checked(between, between.source(shapes, feeds), run, wanted), f"a request of {wanted}{how}"
    for record in records:
        shapes = {name: array.shape for name, array in record.feeds.items()}
        source = replace(between.source(shapes, None), records=(record,), only_records=True)
        yield _checked(between, source, session.run, ""), "between the buckets"


def _checked(between: Between, source: Source, run: Callable[[Feeds], Feeds], shapes: str) -> Checked:
    found = check(source, _Running(run), seed=between.seed, bounds=between.bounds)
    padded = {"kind": "padded", "shapes": shapes}
    samples = tuple(
        sample.model_copy(update=padded) if sample.kind == GIVEN else sample
        for sample in found.report.samples
    )
    return replace(found, report=found.report.model_copy(update={"samples": samples}))


def worst_parity(reports: Sequence[ParityReport | None]) -> ParityReport | None:
    """Give each output's worst figures, and the worst of each sample; None where one was not checked."""
    found = [report for report in reports if report is not None]
    if len(found) < len(reports) or not found:
        return None
    rows = zip(*(report.outputs for report in found if report.outputs), strict=True)
    samples: dict[tuple[str, str, str], list[ParitySample]] = {}
    for sample in (sample for report in found for sample in report.samples):
        samples.setdefault((sample.kind, sample.file, sample.shapes), []).append(sample)
    return found[0].model_copy(
        update={
            "outputs": tuple(map(_worst, rows)),
            "tolerance_max_rel": max(report.tolerance_max_rel for report in found),
            "samples": tuple(map(_worst_sample, samples.values())),
            "given": tuple(map(_furthest, zip(*(each.given for each in found if each.given), strict=True))),
            "given_unknown": next((each.given_unknown for each in found if each.given_unknown), ""),
            "not_run": tuple(dict.fromkeys(kind for report in found for kind in report.not_run)),
        }
    )


def _worst(rows: Sequence[Parity]) -> Parity:
    deltas = [row.delta for row in rows]
    return Parity(
        output=rows[0].output,
        max_abs=max(row.max_abs for row in rows),
        max_rel=max(row.max_rel for row in rows),
        cosine=min(row.cosine for row in rows),
        not_finite=max(row.not_finite for row in rows),
        tolerance=max(row.tolerance or 0.0 for row in rows),
        delta=None if None in deltas else max(delta for delta in deltas if delta is not None),
        decided=all(row.decided for row in rows),
    )


def _furthest(rows: Sequence[Distance]) -> Distance:
    return Distance(
        output=rows[0].output,
        max_rel=max(row.max_rel for row in rows),
        cosine=min(row.cosine for row in rows),
    )


def _worst_sample(alike: Sequence[ParitySample]) -> ParitySample:
    worst = max(alike, key=lambda sample: sample.share)
    undecided = tuple(dict.fromkeys(name for sample in alike for name in sample.undecided))
    return worst.model_copy(
        update={"undecided": undecided, "redrawn": sum(sample.redrawn for sample in alike)}
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


def shown(sizes: Sizes) -> str:
    """Word the sizes of a bucket."""
    return "x".join(map(str, sizes))
