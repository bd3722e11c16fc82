"""One inference from files to files, with its three times: load, first, steady."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from modeldyno.base.errors import ConfigError
from modeldyno.base.files import write_bytes
from modeldyno.base.records.record import TensorSpec
from modeldyno.runtime.open import open_session
from modeldyno.runtime.sessions.feeds import Shapes, at_shapes, random_feeds

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Inference:
    """Outputs by name, and the times in milliseconds. `steady_ms` holds every repetition."""

    outputs: dict[str, Array]
    load_ms: float
    first_ms: float
    steady_ms: tuple[float, ...]
    threads: int

    def times(self) -> dict[str, Any]:
        """Return the times for machines."""
        low, median, high = np.percentile(self.steady_ms, [25, 50, 75])
        return {
            "load_ms": round(self.load_ms, 3),
            "first_ms": round(self.first_ms, 3),
            "steady_p50_ms": round(float(median), 4),
            "steady_p25_ms": round(float(low), 4),
            "steady_p75_ms": round(float(high), 4),
            "steady_samples": len(self.steady_ms),
            "threads": self.threads,
        }

    def lines(self) -> list[str]:
        """Return the times and the outputs for a person."""
        t = self.times()
        shapes = [
            f"output {name}: {array.dtype.name} {list(array.shape)}" for name, array in self.outputs.items()
        ]
        return [
            f"load    {t['load_ms']:9.1f} ms",
            f"first   {t['first_ms']:9.2f} ms",
            f"steady  {t['steady_p50_ms']:9.2f} ms   median of {t['steady_samples']}, half of them within "
            f"{t['steady_p25_ms']:.2f} to {t['steady_p75_ms']:.2f} ms, {self.threads} thread(s)",
            *shapes,
        ]


def run_once(
    artifact: Path,
    feeds: Callable[[tuple[TensorSpec, ...]], dict[str, Array]],
    *,
    threads: int | None,
    repeat: int,
) -> Inference:
    """Load `artifact`, run it once on what `feeds` gives, then `repeat` times for the steady time.

    Raises:
        ArtifactError: it can't be loaded. RequestError: the input does not fit it.
    """
    began = time.perf_counter()
    session = open_session(artifact, threads)
    load_ms = _ms_since(began)
    given = feeds(session.inputs)
    began = time.perf_counter()
    outputs = session.run(given)
    first_ms = _ms_since(began)
    steady = []
    for _ in range(repeat):
        began = time.perf_counter()
        session.run(given)
        steady.append(_ms_since(began))
    return Inference(outputs, load_ms, first_ms, tuple(steady), session.threads)


def load_inputs(
    specs: tuple[TensorSpec, ...],
    texts: Sequence[str],
    *,
    seed: int,
    shapes: Shapes | None = None,
) -> dict[str, Array]:
    """Read `[NAME=]FILE.npy` inputs; seeded random ones, of `shapes` or the smallest, when none is given.

    Raises:
        ConfigError: a file is missing or no .npy file, a name is left out where it is needed, or `shapes` do
            not fit the inputs.
    """
    if not texts:
        return random_feeds(at_shapes(specs, shapes or {}), seed)
    return dict(_read_input(specs, text) for text in texts)


def save_outputs(outputs: dict[str, Array], folder: Path) -> list[Path]:
    """Write each output to `folder`/NAME.npy (characters that no file name should have become `_`)."""
    import io

    paths = []
    for name, array in outputs.items():
        stream = io.BytesIO()
        np.save(stream, array, allow_pickle=False)
        path = folder / f"{re.sub(r'[^A-Za-z0-9._-]', '_', name)}.npy"
        write_bytes(path, stream.getvalue())
        paths.append(path)
    return paths


def _read_input(specs: tuple[TensorSpec, ...], text: str) -> tuple[str, Array]:
    name, sign, file = text.rpartition("=")
    if not sign and len(specs) != 1:
        names = ", ".join(spec.name for spec in specs)
        raise ConfigError(
            f"`inputs` {text}: the model has {len(specs)} inputs ({names}); write NAME=FILE", field="inputs"
        )
    path = Path(file)
    try:
        with path.open("rb") as stream:
            # Not np.load: that opens archives and pickles too.
            return name or specs[0].name, np.lib.format.read_array(stream, allow_pickle=False)
    except FileNotFoundError as error:
        raise ConfigError(f"input file not found: {path}") from error
    except (ValueError, OSError, EOFError) as error:
        raise ConfigError(f"{path} is no .npy file of numbers: {error}") from error


def _ms_since(began: float) -> float:
    return (time.perf_counter() - began) * 1000.0
