"""Services of a known length, as user code behind `dyno serve`, and a foreign load that comes and goes."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from modeldyno.base.process.procs import start

SIZE = 48
"""Of the square matrices of one unit of work."""
BODY = "[1.0, 2.0]"
SCRIPT = f"""
import numpy as np

rng = np.random.default_rng(0)
ONE, OTHER = (rng.standard_normal(({SIZE}, {SIZE})) for _ in range(2))

def model_fn(folder):
    return None

def predict_fn(data, model):
    for _ in range({{units}}):
        np.einsum("ij,jk", ONE, OTHER, optimize=False)  # no BLAS: one thread
    return data
"""
FOREIGN = """
import os, random, sys, time
os.sched_setaffinity(0, {core})
draw = random.Random({seed})
while True:
    end = time.monotonic() + draw.expovariate(1 / {mean_s})
    while time.monotonic() < end:
        pass
    time.sleep(draw.expovariate(1 / {mean_s}))
"""


def unit_s() -> float:
    """What one unit of work takes here: the fastest of many."""
    rng = np.random.default_rng(0)
    one, other = (rng.standard_normal((SIZE, SIZE)) for _ in range(2))
    best = float("inf")
    for _ in range(300):
        began = time.perf_counter()
        np.einsum("ij,jk", one, other, optimize=False)
        best = min(best, time.perf_counter() - began)
    return best


def units_for(seconds: float) -> int:
    """Units of work that take so long here."""
    return max(1, round(seconds / unit_s()))


def service(folder: Path, units: int) -> Path:
    """A server folder whose every request takes so many units of work."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "inference.py").write_text(SCRIPT.format(units=units))
    return folder


@contextmanager
def foreign_load(folder: Path, cores: Sequence[int], seed: int, mean_s: float = 2.0) -> Iterator[None]:
    """A process on the first of these cores that works and rests for `mean_s` each, on average."""
    seed = random.Random(seed).getrandbits(31)  # noqa: S311 - to be repeated, no secret
    script = FOREIGN.format(core={cores[0]}, seed=seed, mean_s=mean_s)
    with start([sys.executable, "-c", script], log=folder / "foreign.log"):
        yield
