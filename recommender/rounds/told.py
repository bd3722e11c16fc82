"""What a run says of itself beside its numbers; pure."""

from __future__ import annotations

from collections.abc import Iterable

from modeldyno.base.records.run import Row
from modeldyno.recommender.job.job import Backend, Job
from modeldyno.recommender.job.model_file import BASELINE
from modeldyno.recommender.rounds.selecting import takes_turns
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.trials.measure.compiled import Compiled, not_wholly_compiled


def run_notes(job: Job, backends: Iterable[Backend], compiled: Compiled | None) -> tuple[str, ...]:
    """How the candidates were measured, and which could not be; `compiled` is None before it is known."""
    how = (
        "Candidates took turns under load, a moment each, in rounds of an order drawn by"
        if takes_turns(job.load)
        else f"Whole load tests, {_starts(job)}, in an order drawn for each round by"
    )
    notes = [f"{how} seed {job.seed}."]
    if BASELINE not in backends:
        notes.append(
            "There is no uncompiled baseline: ONNX Runtime cannot run torch.export files. "
            "Export the model to ONNX to compare with it."
        )
    elif BASELINE not in job.candidates.backends:
        notes.append("onnxruntime was not asked for: it is measured too, as the uncompiled baseline.")
    if compiled is not None and compiled.failure:
        notes.append(f"No compiled candidate was measured: {compiled.failure}")
    return tuple(notes)


def _starts(job: Job) -> str:
    times = job.load.times
    if job.load.find_rate is not None:
        return f"a search in one start of each candidate and {times} confirmations in new ones"
    return f"once in each of {times} starts of a candidate" if times > 1 else "once"


def told_what_is_not_compiled(rows: Iterable[Row], manifest: Manifest | None) -> tuple[Row, ...]:
    """Say in the rows of compiled candidates what is not compiled: the name alone would hide it."""
    text = not_wholly_compiled(manifest)
    return tuple(
        row.model_copy(update={"warnings": (*row.warnings, text)})
        if text and row.backend == "compiled"
        else row
        for row in rows
    )
