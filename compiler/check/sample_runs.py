"""The samples of one check, with what the source model gives on each: drawn while there is time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from modeldyno.base.errors import RequestError, first_line
from modeldyno.compiler.check.samples import DRAWS, NORMAL, draw, kinds
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.input_roles import Facts
from modeldyno.compiler.model.source import Source
from modeldyno.runtime.records.parity import ParitySample

Feeds = dict[str, Array]
FILE = "file"
GIVEN = "given"  # values that flow between parts of a model
LEAST_KINDS = 2
EMULATED_KINDS = 3  # each takes seconds to minutes there
# Behind the first run, further kinds are checked for so many seconds of CPU time, or runs of the source.
# CPU time, since other load is not to decide what is checked.
BUDGET_S, BUDGET_RUNS = 1.5, 5


class Runs(Protocol):
    """A session, here or emulated. Emulated ones have `run_all` too, for several inputs in one process."""

    def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """Give the outputs."""
        ...


@dataclass(frozen=True)
class Sample:
    """Inputs, and the source model's outputs on them (None: it refuses them, and says why)."""

    kind: str
    feeds: Feeds
    expected: dict[str, Any] | None
    seed: int | None = None
    file: str = ""
    digest: str = ""
    redrawn: int = 0
    refusal: str = ""

    @property
    def extreme(self) -> bool:
        """Whether the inputs are other than what a model is fed as a rule."""
        return self.kind not in (NORMAL, GIVEN, FILE)

    @property
    def title(self) -> str:
        """Name the inputs in a sentence."""
        return f"the inputs of {self.file}" if self.kind == FILE else f"inputs of the kind {self.kind!r}"

    def noted(self, **found: Any) -> ParitySample:
        """Give the record of this sample with what was found on it."""
        return ParitySample(
            kind=self.kind,
            seed=self.seed,
            file=self.file,
            digest=self.digest,
            redrawn=self.redrawn,
            **found,
        )


@dataclass(frozen=True)
class Answered:
    """A sample, and what the artifact gives on it."""

    sample: Sample
    found: dict[str, Any] | RequestError


class Samples:
    """Samples in order: the first kind, the user's own, then further kinds while there is time."""

    def __init__(self, source: Source, facts: Facts, seed: int, *, emulated: bool = False) -> None:
        self._source, self._facts, self._seed = source, facts, seed
        self._emulated = emulated
        self._run_s = 0.0
        self.not_run: list[str] = []

    def __iter__(self) -> Iterator[Sample]:
        """Draw and run; what is left out stands in `not_run` at the end."""
        if self._source.feeds is not None:
            feeds = self._source.feeds(self._seed)
            yield Sample(GIVEN, feeds, self._source.reference(copied(feeds)), seed=self._seed)
            return
        if self._source.only_records:
            yield from self._records()
            return
        first, *others = kinds(self._source.inputs, self._facts)
        sample = self._drawn(first)
        began = time.process_time()
        if sample is not None:
            yield sample
        yield from self._records()
        ran = 1
        for kind in others:
            in_time = self._is_time(ran, time.process_time() - began)
            sample = self._drawn(kind) if in_time else None
            if sample is None:
                self.not_run.append(kind)
            else:
                ran += 1
                yield sample

    def _is_time(self, ran: int, spent_s: float) -> bool:
        if self._emulated:
            return ran < EMULATED_KINDS
        return ran < LEAST_KINDS or spent_s < max(BUDGET_S, BUDGET_RUNS * self._run_s)

    def _drawn(self, kind: str) -> Sample | None:
        """Draw until the source model takes it; None where it takes no draw of a further kind."""
        for attempt in range(DRAWS):
            feeds = draw(self._source.inputs, self._facts, kind, self._seed, attempt)
            began = time.process_time()
            try:
                expected = self._source.reference(copied(feeds))
            except Exception:  # whatever ONNX Runtime, torch or the model's own code raise
                if kind == NORMAL and attempt == DRAWS - 1:
                    raise
                continue
            self._run_s = time.process_time() - began
            return Sample(kind, feeds, expected, seed=self._seed, redrawn=attempt)
        return None

    def _records(self) -> Iterator[Sample]:
        for record in self._source.records:
            expected, refusal = None, self._facts.deadly(record.feeds)
            if not refusal:
                try:
                    expected = self._source.reference(copied(record.feeds))
                except Exception as error:
                    refusal = first_line(error)
            yield Sample(
                FILE, record.feeds, expected, file=record.name, digest=record.digest, refusal=refusal
            )


def first_feeds(source: Source, seed: int) -> Feeds:
    """Give the inputs of the first sample that a source model is checked on."""
    if source.feeds is not None:
        return source.feeds(seed)
    return draw(source.inputs, source.input_facts(), NORMAL, seed)


def answers(session: Runs, samples: Samples) -> Iterator[Answered]:
    """Run an artifact on samples, each before the next is drawn; all at once where it is emulated."""
    run_all = getattr(session, "run_all", None)
    if run_all is not None:
        drawn = list(samples)
        for sample, found in zip(drawn, run_all([sample.feeds for sample in drawn]), strict=True):
            yield Answered(sample, found)
        return
    for sample in samples:
        try:
            yield Answered(sample, session.run(copied(sample.feeds)))
        except RequestError as error:
            yield Answered(sample, error)


def copied(feeds: Feeds) -> Feeds:
    """Give inputs that whoever runs on them may change."""
    return {name: array.copy() if hasattr(array, "copy") else array for name, array in feeds.items()}
