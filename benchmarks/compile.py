"""Compiled artifacts against the peers, side by side in one run.

    python -m benchmarks.compile --models resnet50,squeezenet --threads 1,2 --peers onnxruntime,openvino

Every peer runs in a process of its own on the same cores and takes its turn: A B C A B C, for `--rounds`
rounds of about half a second each. A figure is the median over rounds of a round's median; its spread is the
quartiles over rounds. Ratios are taken round by round, so that a slow spell of the machine hits both sides of
a ratio alike. Outputs are compared with the first peer's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.peer_worker import PEERS
from benchmarks.zoo.light import light_model
from dyno.console import print_table
from dyno.files import write_bytes, write_text
from dyno.host import host_facts
from dyno.procs import python_module

MODELS = ("resnet50", "squeezenet", "densenet121", "inception_v1", "shufflenet")
ROUND_MS = 500.0
Floats = npt.NDArray[np.float64]


@dataclass
class Worker:
    """A peer's process, spoken to in JSON lines."""

    process: subprocess.Popen[str]
    compile_s: float = 0.0

    def ask(self, message: dict[str, Any] | None) -> dict[str, Any]:
        """Send a message (None: nothing) and return the next answer."""
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the peer has no pipes")
        if message is not None:
            stdin.write(json.dumps(message) + "\n")
            stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError(f"the peer ended with code {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def measure(model: Path, peers: list[str], threads: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Measure one model with one number of threads; medians in milliseconds, ratios to the best peer."""
    workers = {peer: _start(peer, model, threads, folder) for peer in peers}
    try:
        for worker in workers.values():
            worker.compile_s = float(worker.ask(None)["compile_s"])
        counts = {peer: _repeats(worker) for peer, worker in workers.items()}
        medians: dict[str, list[float]] = {peer: [] for peer in peers}
        for _ in range(rounds):
            for peer, worker in workers.items():
                medians[peer].append(float(np.median(worker.ask({"repeat": counts[peer]})["ms"])))
        error = _largest_difference(folder, peers)
    finally:
        for worker in workers.values():
            worker.process.kill()
            worker.process.wait()
    return _summary(model.stem, threads, medians, workers["dyno"].compile_s, error)


def _start(peer: str, model: Path, threads: int, folder: Path) -> Worker:
    command = python_module(
        "benchmarks.peer_worker", peer, str(model), str(threads), str(folder / f"{peer}.npz")
    )
    return Worker(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))


def _repeats(worker: Worker) -> int:
    """Warm up, then choose how many inferences make a round."""
    worker.ask({"repeat": 3})
    typical = float(np.median(worker.ask({"repeat": 3})["ms"]))
    return max(3, min(500, round(ROUND_MS / typical)))


def _largest_difference(folder: Path, peers: list[str]) -> float:
    """Largest difference from dyno's outputs, relative to the largest value."""
    mine = np.load(folder / "dyno.npz", allow_pickle=False)
    worst = 0.0
    for peer in peers:
        theirs = np.load(folder / f"{peer}.npz", allow_pickle=False)
        for key in mine.files:
            scale = float(np.abs(theirs[key]).max()) or 1.0
            worst = max(worst, float(np.abs(mine[key] - theirs[key]).max()) / scale)
    return worst


def _summary(
    model: str, threads: int, medians: dict[str, list[float]], compile_s: float, error: float
) -> dict[str, Any]:
    table: dict[str, Floats] = {peer: np.asarray(values) for peer, values in medians.items()}
    others = np.stack([values for peer, values in table.items() if peer != "dyno"])
    ratios = table["dyno"] / others.min(axis=0)
    return {
        "model": model,
        "threads": threads,
        "ms": {peer: round(float(np.median(values)), 3) for peer, values in table.items()},
        "quartiles_ms": {
            peer: np.round(np.percentile(values, [25, 75]), 3).tolist() for peer, values in table.items()
        },
        "ratio_to_best_peer": round(float(np.median(ratios)), 3),
        "ratio_quartiles": np.round(np.percentile(ratios, [25, 75]), 3).tolist(),
        "compile_s": round(compile_s, 1),
        "largest_difference": error,
    }


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", default=",".join(MODELS), help="names of the onnx package's light models")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--peers", default="onnxruntime", help=f"of {', '.join(sorted(PEERS))}")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    peers = ["dyno", *[peer for peer in args.peers.split(",") if peer != "dyno"]]
    rows = []
    with tempfile.TemporaryDirectory(prefix="dyno-bench-") as name:
        folder = Path(name)
        for model in args.models.split(","):
            path = folder / f"{model}.onnx"
            write_bytes(path, light_model(model).SerializeToString())
            for threads in (int(text) for text in args.threads.split(",")):
                rows.append(measure(path, peers, threads, args.rounds, folder))
                print(f"{model} {threads} thread(s): {rows[-1]['ms']}", file=sys.stderr)
    _report(rows, peers, args.json)


def _report(rows: list[dict[str, Any]], peers: list[str], target: Path | None) -> None:
    print_table(
        (
            "model",
            "threads",
            *(f"{peer} ms" for peer in peers),
            "ratio",
            "quartiles",
            "compile s",
            "max diff",
        ),
        [
            (
                row["model"],
                str(row["threads"]),
                *(f"{row['ms'][peer]:.2f}" for peer in peers),
                f"{row['ratio_to_best_peer']:.2f}",
                "{:.2f}-{:.2f}".format(*row["ratio_quartiles"]),
                f"{row['compile_s']:.1f}",
                f"{row['largest_difference']:.1e}",
            )
            for row in rows
        ],
    )
    threads = sorted({row["threads"] for row in rows})
    means = {
        str(count): round(
            float(np.exp(np.mean([np.log(r["ratio_to_best_peer"]) for r in rows if r["threads"] == count]))),
            3,
        )
        for count in threads
    }
    print(f"geometric mean of the ratio to the best peer, by threads: {means}")
    if target:
        document = {"host": host_facts().model_dump(), "models": rows, "geomean_ratio_to_best_peer": means}
        write_text(target, json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
