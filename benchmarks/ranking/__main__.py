"""The recommendation beside foreign load: python -m benchmarks.ranking [--runs 20] [--quick] [--json F].

One type of one vCPU, one user, two backends. Three quiet runs say what is true; then the same job is run
again and again, beside a foreign load on the server's core during a random third of each run. Wanted: the
same winner, or a stated tie, in every run; and the interval of the ratio of throughputs, widened by 2 %,
holds the mean of the quiet runs in at least 17 of 20.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.gate.services import foreign_load
from benchmarks.zoo.light import light_model
from modeldyno.base.command.console import print_table, say
from modeldyno.base.files import write_text
from modeldyno.base.host.facts import host_facts, usable_cores
from modeldyno.base.records.comparison import Throughputs
from modeldyno.recommender.job.job import Job
from modeldyno.recommender.run import recommend

RUN_S = 30.0
QUIET_RUNS = 3
WIDENED = 1.02
SMALL_TYPE = {"x86_64": "c7a.medium", "aarch64": "c7g.medium"}
MODEL = "squeezenet"


@dataclass(frozen=True)
class Run:
    """What one run said."""

    foreign: bool
    seconds: float
    winner: str
    """Backend; empty: a stated tie, or one of them is void."""
    ratio: float
    """Throughput of the compiled candidate over ONNX Runtime's."""
    low: float
    high: float


NONE = Throughputs(candidate="", against="", users=1, ratio=1.0, low=0.0, high=math.inf, rounds=0)
"""Where one of them is void: nothing is said."""


def job() -> Job:
    """One type, one user, two backends."""
    kind = SMALL_TYPE[host_facts().architecture]
    return Job.model_validate(
        {
            "candidates": {"instance_types": [kind]},
            "load": {"users": [1], "warmup_s": 0.5, "duration_s": 9, "max_duration_s": 15, "min_samples": 0},
        }
    )


def measured(model: Path, artifact: Path | None, folder: Path, *, foreign: bool, seed: int) -> Run:
    """One run; an artifact of an earlier one is not compiled again."""
    if artifact is not None:
        shutil.copytree(artifact, folder / "run" / "artifact")
        shutil.copy(artifact.parent / "job.json", folder / "run" / "job.json")
    began = time.monotonic()
    with _third(folder, seed) if foreign else _nothing():
        found = recommend(model, job(), folder / "run")
    decided = all(row.valid for row in found.ranking) and not found.ranking[0].tied_with_best
    assert found.comparison is not None  # noqa: S101 - closed loops are compared
    ratio = next(iter(found.comparison.throughputs), NONE)
    return Run(
        foreign=foreign,
        seconds=round(time.monotonic() - began, 1),
        winner=found.ranking[0].backend if decided else "",
        ratio=ratio.ratio,
        low=ratio.low,
        high=ratio.high,
    )


@contextmanager
def _third(folder: Path, seed: int) -> Iterator[None]:
    """A foreign load on the server's core, during a third of the run that begins at a random moment."""
    draw, over = random.Random(seed), threading.Event()  # noqa: S311 - no secret

    def work() -> None:
        if over.wait(draw.uniform(0, 2 / 3) * RUN_S):
            return
        with foreign_load(folder, usable_cores()[:1], seed, mean_s=2.0):
            over.wait(RUN_S / 3)

    thread = threading.Thread(target=work, name="foreign", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def summary(quiet: list[Run], beside: list[Run]) -> dict[str, object]:
    """Hold the runs beside foreign load against the quiet ones."""
    true = math.exp(statistics.mean(math.log(run.ratio) for run in quiet))
    best = "compiled" if true > 1 else "onnxruntime"
    holds = sum(run.low / WIDENED <= true <= run.high * WIDENED for run in beside)
    return {
        "quiet ratio": round(true, 4),
        "quiet runs": [round(run.ratio, 4) for run in quiet],
        "runs": len(beside),
        "same winner": sum(run.winner == best for run in beside),
        "ties": sum(run.winner == "" for run in beside),
        "other winner": sum(run.winner not in (best, "") for run in beside),
        "interval holds": holds,
        "lowest ratio": round(min(run.ratio for run in beside), 4),
        "highest ratio": round(max(run.ratio for run in beside), 4),
        "longest, s": max(run.seconds for run in (*quiet, *beside)),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="5 runs")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    runs = 5 if given.quick else given.runs
    say(f"{QUIET_RUNS} quiet runs, {runs} beside foreign load: up to {(runs + QUIET_RUNS) * 0.75:.0f} min")
    with tempfile.TemporaryDirectory(prefix="dyno-ranking-") as text:
        folder = Path(text)
        model = folder / "m.onnx"
        model.write_bytes(light_model(MODEL).SerializeToString())
        measured(model, None, _made(folder / "first"), foreign=False, seed=0)  # compiles
        artifact = folder / "first" / "run" / "artifact"
        found = list[Run]()
        for number in range(QUIET_RUNS + runs):
            place = _made(folder / f"run-{number}")
            run = measured(model, artifact, place, foreign=number >= QUIET_RUNS, seed=number)
            shutil.rmtree(place)
            found.append(run)
            ratio = f"{run.ratio:.3f} ({run.low:.3f} to {run.high:.3f})"
            say(f"run {number}: {run.winner or 'not told apart'}, {ratio}, {run.seconds:g} s")
    told = summary(found[:QUIET_RUNS], found[QUIET_RUNS:])
    print_table(("what", "value"), ((name, str(value)) for name, value in told.items()))
    if given.json:
        document = {
            "schema_version": 1,
            "host": host_facts().cpu_model,
            "summary": told,
            "runs": list(map(asdict, found)),
        }
        write_text(given.json, json.dumps(document, indent=2) + "\n")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    main()
