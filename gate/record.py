"""The record of a gate out of what was measured."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from modeldyno.base.clock import utc_now
from modeldyno.base.exit_codes import ANSWER_IS_NO, DONE, NOT_DECIDED
from modeldyno.base.flags import arguments_of
from modeldyno.base.host.facts import host_facts
from modeldyno.base.records.gate import (
    FieldChange,
    GateLoad,
    GateMetric,
    GateRecord,
    GateSide,
    GateVerdict,
    GateWarning,
    KernelChange,
    OutputsCompared,
)
from modeldyno.gate.live.judged import dropped, histograms, overall, spread_of_starts
from modeldyno.gate.live.rounds import BASELINE, CANDIDATE, Course, GateOrder, cell_of
from modeldyno.gate.options import GateOptions
from modeldyno.gate.sides.record import Side

WORDS = {
    "regression": "The candidate is a regression",
    "pass": "The candidate passes",
    "improvement": "The candidate is an improvement",
    "inconclusive": "Not decided",
}


@dataclass(frozen=True)
class Found:
    """What a gate has found, in parts."""

    metrics: Sequence[GateMetric]
    warnings: Sequence[GateWarning] = ()
    outputs: OutputsCompared | None = None
    kernels: Sequence[KernelChange] = ()
    fields: Sequence[FieldChange] = ()
    command: str = ""


@dataclass(frozen=True)
class Sides:
    """Both sides, as they were named."""

    baseline: Side
    candidate: Side

    @property
    def both(self) -> tuple[Side, Side]:
        """Baseline, candidate."""
        return self.baseline, self.candidate


def record_of(sides: Sides, load: GateLoad, found: Found, options: GateOptions, seconds: float) -> GateRecord:
    """A record without a measurement: equal sides, or exact rules alone."""
    verdict = overall(found.metrics)
    return GateRecord(
        created_at=utc_now(),
        verdict=verdict,
        exit_code=exit_code(verdict, options),
        headline=headline(verdict, found),
        command=found.command,
        baseline=sides.baseline.recorded(),
        candidate=sides.candidate.recorded(),
        load=load,
        metrics=tuple(found.metrics),
        measured=False,
        seconds=round(seconds, 2),
        warnings=tuple(found.warnings),
        outputs=found.outputs,
        kernels=tuple(found.kernels),
        fields=tuple(found.fields),
        host=host_facts(),
    )


def with_course(record: GateRecord, course: Course, order: GateOrder) -> GateRecord:
    """Add what was measured."""
    pairs = course.pairs(cell_of(next(iter(order.limits))))
    left_out, reasons = dropped(pairs)
    spread = spread_of_starts(course, order)
    return record.model_copy(
        update={
            "measured": True,
            "load": record.load.model_copy(update={"cpus": order.cores}),
            "pairs": len(pairs.judged),
            "pairs_dropped": left_out,
            "dropped_for": reasons,
            "epochs": course.epochs,
            "between_starts": None if spread is None else spread.sd,
            "baseline": _measured(record.baseline, BASELINE, course),
            "candidate": _measured(record.candidate, CANDIDATE, course),
            "histograms": histograms(course, order),
        }
    )


def _measured(side: GateSide, name: str, course: Course) -> GateSide:
    requests = sum(block.requests for block in course.blocks if block.candidate.startswith(name))
    return side.model_copy(
        update={
            "starts": len(course.startup_s[name]),
            "startup_s": tuple(course.startup_s[name]),
            "requests": requests,
            "errors": course.errors[name],
            "memory_mib": course.memory_mib.get(name),
        }
    )


def command_of(options: GateOptions) -> str:
    """What repeats a gate: every option that is not as it is by default."""
    usual = set(arguments_of(GateOptions()))
    return shlex.join(["dyno", "gate", *(each for each in arguments_of(options) if each not in usual)])


def of_urls(verdict: GateVerdict, options: GateOptions) -> GateVerdict:
    """Of servers that somebody else runs a regression is not said, unless it is asked for."""
    return "inconclusive" if verdict == "regression" and not options.trust_url else verdict


def exit_code(verdict: GateVerdict, options: GateOptions) -> int:
    """What the command ends with."""
    if verdict == "inconclusive":
        return {"fail": ANSWER_IS_NO, "pass": DONE, None: NOT_DECIDED}[options.inconclusive_is]
    return ANSWER_IS_NO if verdict == "regression" else DONE


def headline(verdict: GateVerdict, found: Found) -> str:
    """The answer in one sentence: the metric that decided it, in words."""
    if found.outputs is not None and not found.outputs.same:
        return f"{WORDS[verdict]}, and its outputs differ: {found.outputs.text}"
    judged = [each for each in found.metrics if each.verdict == verdict]
    first = next((each for each in judged if each.max_regression is not None or each.exact), None)
    return f"{WORDS[verdict]}: {first.metric} {first.text}." if first else f"{WORDS[verdict]}."
