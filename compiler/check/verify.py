"""Parity: the artifact's outputs against the source model's, on several kinds of inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from modeldyno.base.errors import ParityError, RequestError
from modeldyno.compiler.check.as_given import AsGiven
from modeldyno.compiler.check.compare import NOTHING, arrays_of, compare, named, other_kind
from modeldyno.compiler.check.judgement import STEPS, Bounds, Judgement, judge
from modeldyno.compiler.check.moves import Moves
from modeldyno.compiler.check.sample_runs import FILE, Answered, Feeds, Runs, Sample, Samples, answers, copied
from modeldyno.compiler.check.source_graph import maker_words, overflows_inside
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.input_roles import Facts
from modeldyno.compiler.model.source import Source
from modeldyno.compiler.request import CompileRequest
from modeldyno.runtime.records.parity import Parity, ParityReport, ParitySample

_MOST_SHARE = 1e9


@dataclass(frozen=True)
class Checked:
    """What a check found: its figures, what differs in a sentence (empty: nothing), and on which inputs."""

    report: ParityReport
    difference: str = ""
    feeds: Feeds | None = None

    def passed(self, where: str, target: str) -> ParityReport:
        """Give the figures of a check of `where`, for `target`.

        Raises:
            ParityError: it differs.
        """
        if self.difference:
            raise ParityError(
                f"{where}: {self.difference}; the artifact is not kept",
                stage="verify",
                target=target,
                feeds=self.feeds,
            )
        return self.report


def check_request(request: CompileRequest, session: Runs, tolerance: float) -> ParityReport:
    """Check what a compile made against its source, by the request's options; see `check_parity`."""
    return check_parity(
        request.source,
        session,
        seed=request.options.seed,
        tolerance=tolerance,
        whole_tolerance=request.options.whole_tolerance,
        target=request.target.name,
    )


def check_parity(
    source: Source, session: Runs, *, seed: int, tolerance: float, target: str, whole_tolerance: float = 0.0
) -> ParityReport:
    """Compare every output on every sample and give the figures (`compiler.check.judgement`: what passes).

    Raises:
        ParityError: an output is too far off, not finite where the source's is, or of another shape or type;
            only one of the two refuses some inputs; or one gives other outputs on a second call.
    """
    bounds = Bounds(tolerance, whole_tolerance)
    return check(source, session, seed=seed, bounds=bounds).passed(source.name, target)


def check(source: Source, session: Runs, *, seed: int, bounds: Bounds) -> Checked:
    """Compare every output on every sample, up to the first difference.

    Raises:
        ModelError: the source model runs on none of the ordinary inputs that are drawn.
    """
    try:
        return _Check(source, session, seed, bounds).run()
    finally:
        source.release()


class _Check:
    """One source model and one artifact, sample by sample."""

    def __init__(self, source: Source, session: Runs, seed: int, bounds: Bounds) -> None:
        self.source, self.session, self.seed, self.bounds = source, session, seed, bounds
        self.facts = source.input_facts() if source.feeds is None else Facts()
        self.rows: tuple[Parity, ...] = ()
        self.samples: list[ParitySample] = []
        self.given = AsGiven(source, seed)

    def run(self) -> Checked:
        """Check the samples that there is time for, the user's own, and that a second call gives the same."""
        pool = Samples(self.source, self.facts, self.seed, emulated=hasattr(self.session, "run_all"))
        first: Answered | None = None
        for answered in answers(self.session, pool):
            said = "" if first else self._source_again(answered.sample)
            first = first or answered
            if said := said or self._sample(answered):
                return self._ended(pool, said, answered.sample.feeds)
        if first is not None and (said := self._again(first)):
            return self._ended(pool, said, first.sample.feeds)
        return self._ended(pool)

    def _ended(self, pool: Samples, said: str = "", feeds: Feeds | None = None) -> Checked:
        report = ParityReport(
            reference=self.source.reference_name,
            seed=self.seed,
            tolerance_max_rel=self.bounds.floats,
            outputs=self.rows,
            samples=tuple(self.samples),
            not_run=tuple(pool.not_run),
            given=self.given.distances,
            given_tolerance=self.given.tolerance,
            given_unknown=self.given.unknown,
        )
        return Checked(report, said, feeds)

    def _sample(self, answered: Answered) -> str:
        """Judge one sample's outputs; say what differs."""
        sample, reference = answered.sample, self.source.reference_name
        if isinstance(answered.found, RequestError) or sample.expected is None:
            return self._refused(answered)
        wanted, found = arrays_of(sample.expected), named(sample.expected, answered.found)
        for name, array in wanted.items():
            if said := other_kind(name, array, found.get(name, NOTHING), reference):
                return said + maker_words(self.source, name)
        moves = Moves(self.source, sample.feeds, wanted, self.seed)
        judged = [
            self._judged(compare(name, array, found[name]), array, sample, moves)
            for name, array in wanted.items()
        ]
        self.rows = self.rows or tuple(each.row for each in judged)
        self._note(sample, judged)
        differing = [each for each in judged if each.verdict == "differs"]
        worst = max(differing, key=lambda each: each.share, default=None)
        if worst is None:
            return "" if sample.extreme else self.given.take(sample, found)
        return _difference(worst, sample, reference) + maker_words(self.source, worst.row.output)

    def _judged(self, row: Parity, wanted: Array, sample: Sample, moves: Moves) -> Judgement:
        exact = row.output in self.facts.exact
        judged = judge(
            row,
            wanted,
            sample.feeds,
            self.bounds.of_steps(wanted) if row.output in self.source.rounded else self.bounds,
            (lambda _units: 0.0) if exact else (lambda units: moves.change(row.output, units)),
            always_move=not self.rows,
        )
        if judged.verdict == "differs" and sample.extreme and self._overflows(row.output, wanted, sample):
            # What overflows in the source model too is no answer to compare with.
            told = judged.row.model_copy(update={"decided": False})
            return replace(judged, verdict="not decided", row=told)
        return judged

    def _overflows(self, output: str, wanted: Array, sample: Sample) -> bool:
        """Whether an answer of the source model, or a value on its way, is not finite."""
        given = not np.isfinite(_numbers(wanted)).all()
        return given or overflows_inside(self.source, sample.feeds, output)

    def _note(self, sample: Sample, judged: Sequence[Judgement]) -> None:
        decided = [each for each in judged if each.verdict != "not decided"]
        worst = max(decided, key=lambda each: each.share, default=None)
        undecided = tuple(each.row.output for each in judged if each.verdict == "not decided")
        self.samples.append(
            sample.noted(
                share=min(round(worst.share, 4), _MOST_SHARE) if worst else 0.0,
                output=worst.row.output if worst else "",
                undecided=undecided,
            )
        )
        if sample.kind == FILE:  # what the user gave is to be decided, as the first sample is
            self.rows = tuple(
                row.model_copy(update={"decided": row.decided and row.output not in undecided})
                for row in self.rows
            )

    def _refused(self, answered: Answered) -> str:
        """Say where one of the two refuses inputs that the other takes."""
        sample, reference = answered.sample, self.source.reference_name
        refusal = answered.found if isinstance(answered.found, RequestError) else None
        if sample.expected is not None:
            return f"the artifact refuses {sample.title} ({refusal}), and {reference} answers"
        if refusal is None:
            return f"{reference} refuses {sample.title} ({sample.refusal}), and the artifact answers"
        self.samples.append(sample.noted(refused=True))
        return ""

    def _source_again(self, sample: Sample) -> str:
        """Say which output of the source model is another when it is called with the same inputs again."""
        if sample.expected is None:
            return ""
        again = arrays_of(self.source.reference(copied(sample.feeds)))
        for name, before in arrays_of(sample.expected).items():
            changed = compare(name, before, again.get(name, NOTHING)).max_rel
            if not changed <= max(self.bounds.of(before), 0.0):
                return (
                    f"output {name!r} of the source model is another when it is called with the same inputs "
                    "again: it has state or draws random numbers, and no artifact can be checked against it. "
                    "`verify=False` compiles without the check"
                )
        return ""

    def _again(self, first: Answered) -> str:
        """Say which output of the artifact is another when it is called with the first inputs at the end."""
        expected = first.sample.expected
        if expected is None or isinstance(first.found, RequestError) or hasattr(self.session, "run_all"):
            return ""
        again = named(expected, self.session.run(copied(first.sample.feeds)))
        for name, before in named(expected, first.found).items():
            if compare(name, before, again.get(name, NOTHING)).max_abs:
                return (
                    f"output {name!r} of the artifact is another when it is called with the same inputs again"
                )
        return ""


def _difference(judged: Judgement, sample: Sample, reference: str) -> str:
    row = judged.row
    delta = f" and {STEPS} x {row.delta:.1e}" if row.delta else ""
    return (
        f"output {row.output!r} differs from {reference} by {row.max_rel:.2e} of its largest value on "
        f"{sample.title} (by {row.max_abs:.1e}; tolerance {row.tolerance:.0e}{delta}, "
        f"cosine {row.cosine:.6f}). A larger tolerance can be set with `tolerance`"
    )


def _numbers(array: Array) -> Array:
    return array if array.dtype.kind in "fiub" else np.zeros(0)
