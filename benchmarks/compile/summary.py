"""From measured turns to the rows of the report: medians, quartiles, ratios, geometric means."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.compile.side_by_side import Measured

MINE = "dyno"
LARGEST_DIFFERENCE = 1e-3  # relative; two float32 runtimes of a sound model stay well below
Row = dict[str, Any]
Floats = npt.NDArray[np.float64]


def timing(measured: Measured, peers: Sequence[str]) -> Row:
    """Medians over rounds in milliseconds with quartiles, and dyno's ratio to the fastest of the others.

    The fastest is the one with the smallest median. The ratio is taken round by round, so that a slow spell
    of the machine hits both of its sides; below 1 dyno is faster. Null stands where there is no figure.
    """
    table: dict[str, Floats] = {peer: np.asarray(values) for peer, values in measured.ms.items()}
    others = {peer: float(np.nanmedian(values)) for peer, values in table.items() if peer != MINE}
    best = min(others, key=lambda peer: others[peer]) if others else None
    row: Row = {
        "ms": {peer: _rounded(np.nanmedian(table[peer])) if peer in table else None for peer in peers},
        "quartiles_ms": {peer: _quartiles(values) for peer, values in table.items()},
        "best_peer": best,
        "ratio_to_best_peer": None,
        "ratio_quartiles": None,
    }
    if best is not None and MINE in table:
        ratios = table[MINE] / table[best]
        row |= {
            "ratio_to_best_peer": _rounded(np.nanmedian(ratios)),
            "ratio_quartiles": _quartiles(ratios),
        }
    return row


def geometric_means(rows: Iterable[Row]) -> dict[str, float]:
    """Geometric mean of the ratios to the best peer by number of threads; rows without one are left out."""
    ratios: dict[int, list[float]] = {}
    for row in rows:
        if row["ratio_to_best_peer"] is not None:
            ratios.setdefault(row["threads"], []).append(row["ratio_to_best_peer"])
    return {
        str(threads): round(math.exp(sum(map(math.log, found)) / len(found)), 3)
        for threads, found in sorted(ratios.items())
    }


def agreement(folder: Path, peers: Sequence[str]) -> Row:
    """Compare the outputs that the peers left in `folder` as PEER.npz, each with each.

    Returns `largest_difference`, relative to the largest value of an output (null: of different number or
    shape, or not finite), `furthest_apart`, the two peers, and `differs`, whether it is above 1e-3.
    """
    outputs = {peer: _arrays(folder / f"{peer}.npz") for peer in peers}
    pairs = {(a, b): difference(outputs[a], outputs[b]) for a, b in combinations(peers, 2)}
    if not pairs:
        return {"largest_difference": None, "furthest_apart": None, "differs": False}
    pair, worst = max(pairs.items(), key=lambda item: item[1])
    return {
        "largest_difference": float(f"{worst:.2e}") if math.isfinite(worst) else None,
        "furthest_apart": list(pair),
        "differs": worst > LARGEST_DIFFERENCE,
    }


def difference(mine: Sequence[Floats], theirs: Sequence[Floats]) -> float:
    """Largest |a - b| / max |b| over all outputs; infinite where they can't be compared."""
    if [array.shape for array in mine] != [array.shape for array in theirs]:
        return math.inf
    worst = 0.0
    for a, b in zip(mine, theirs, strict=True):
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            return math.inf
        scale = float(np.abs(b).max(initial=0.0)) or 1.0
        worst = max(worst, float(np.abs(a - b).max(initial=0.0)) / scale)
    return worst


def peak_share(flops: int | None, ms: float | None, threads: int, peak_gflops: float | None) -> float | None:
    """Share of the multiply-add peak of `threads` cores that the model ran at; None if a figure is missing.

    May pass 1 where an algorithm (Winograd) needs fewer operations than the graph counts.
    """
    if flops is None or ms is None or peak_gflops is None:
        return None
    return round(flops / (ms * 1e6) / (peak_gflops * threads), 3)


def _arrays(path: Path) -> list[Floats]:
    with np.load(path, allow_pickle=False) as file:
        return [np.asarray(file[name], np.float64) for name in file.files]


def _quartiles(values: Floats) -> list[float]:
    return [_rounded(value) for value in np.nanpercentile(values, [25, 75])]


def _rounded(value: Any) -> float:
    return round(float(value), 3)
