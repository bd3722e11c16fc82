"""Whether the slower kernel is named first: one is called again until the inference takes 5 % longer.

The kernel is drawn by its share of the time. Both sides are profiled as a gate does on a regression: several
processes each, in alternating order.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compare.simulate import counted
from benchmarks.zoo.registry import onnx_file
from modeldyno.base.command.console import say
from modeldyno.base.process.procs import python_module, start
from modeldyno.compiler import compile_model
from modeldyno.gate.explain.kernels import kernel_changes, settled
from modeldyno.runtime.tools.profile_records import KernelTime, Profile

Row = dict[str, Any]
MODEL = "shufflenet"
LONGER = 0.05
ROUNDS, INFERENCES = 3, 50
LIMIT_S = 120.0


def kernels(runs: int) -> Iterator[Row]:
    """Compile a model, draw a kernel for each run, and see which one is named."""
    with tempfile.TemporaryDirectory(prefix="dyno-kernels-") as name:
        folder = Path(name)
        say(f"compiling {MODEL}")
        compile_model(onnx_file(MODEL), folder / "artifact")
        yield named_first(folder / "artifact", folder, runs)


def named_first(artifact: Path, folder: Path, runs: int) -> Row:
    """Of so many runs in how many the drawn kernel is named first."""
    rng, hits, missed = np.random.default_rng(9), 0, list[str]()
    plain = _profile(artifact, folder)
    for number in range(runs):
        drawn = _drawn(rng, plain.kernels)
        changes = kernel_changes(*_both(artifact, folder, drawn, LONGER * plain.total_p50_ms))
        first = changes[0].name if changes else "none"
        hits += first == drawn.name
        missed += [] if first == drawn.name else [f"{drawn.name}: {first}"]
        say(f"{number}: {drawn.name}, named first: {first}")
    return {"what": "the slower kernel is named first", **counted(hits, runs), "missed": "; ".join(missed)}


def _drawn(rng: np.random.Generator, found: Sequence[KernelTime]) -> KernelTime:
    times = np.array([each.p50_ms for each in found])
    return found[int(rng.choice(len(found), p=times / times.sum()))]


def _both(artifact: Path, folder: Path, drawn: KernelTime, longer_ms: float) -> tuple[Profile, Profile]:
    again = ("--kernel", drawn.name, "--longer-ms", str(longer_ms), "--calls", str(drawn.calls))
    sides: dict[bool, list[Profile]] = {False: [], True: []}
    for number in range(ROUNDS):
        for slower in (False, True) if number % 2 == 0 else (True, False):
            sides[slower].append(_profile(artifact, folder, *(again if slower else ())))
    return settled(sides[False]), settled(sides[True])


def _profile(artifact: Path, folder: Path, *more: str) -> Profile:
    log = folder / "profile.log"
    args = [str(artifact), "--inferences", str(INFERENCES), *more]
    with start(python_module("benchmarks.gate.repeat_worker", *args), log=log) as child:
        if child.process.wait(LIMIT_S) != 0:
            raise SystemExit(f"it can't be profiled: {child.log_tail()}")
    return Profile.model_validate_json(log.read_text().splitlines()[-1])
