"""GPU artifacts against torch, on a machine with a GPU: from bundles, with no compiler.

    python -m benchmarks.cuda --build resnet50,minilm_l6 --target cuda-sm_90      # where a CUDA compiler is
    python -m benchmarks.cuda runs/cuda/*.tar.gz --json cuda.json                 # where the GPU is

`--build` compiles models of the zoo and writes their bundles; nothing is measured. The GPU's machine needs
the repository, numpy, torch and the package nvidia-cuda-runtime; the model must be one of the zoo's, whose
torch module has the same weights. Exit code 0: done; 1: a peer failed, or outputs differ; 2: the command is
wrong; 3: there is no NVIDIA GPU here, so nothing was measured.

Each peer is a process: the runtime out of the bundle, torch eager, and
torch.compile. They are measured in turns (A B C A B C), inputs and outputs staying on the GPU, each
inference waited for; all compute in float32, with TF32 off. A figure is the median over rounds of each
round's median, with quartiles; the ratio to the fastest torch is taken round by round. Outputs are compared
with torch eager's. `--device cpu` rehearses all of it with bundles for the processor: for tests, not for
figures.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tarfile
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compile.summary import difference
from benchmarks.feeds import save_feeds
from benchmarks.zoo.registry import DEFAULT_CACHE
from modeldyno.base.clock import utc_now
from modeldyno.base.command.console import print_table, say
from modeldyno.base.files import write_text
from modeldyno.base.host.facts import host_facts
from modeldyno.base.records.record import TensorSpec
from modeldyno.runtime.gpu import compute_capability
from modeldyno.runtime.sessions.feeds import random_feeds

MINE, EAGER = "bundle", "torch-eager"
PEERS = (MINE, EAGER, "torch-compile")
REHEARSED = (MINE, EAGER)  # torch.compile for processors takes minutes, and would show nothing of a GPU
TOLERANCE = 1e-3
NO_GPU = 3
_ROOT = Path(__file__).resolve().parents[2]
Row = dict[str, Any]


class Peer:
    """A peer's process; `failure` says why it has no figures."""

    def __init__(self, name: str, device: str, folder: Path, bundle: Path) -> None:
        self.name = name
        self.ms: list[float] = []
        self.how = self.failure = ""
        self._log = folder / f"{name}.log"
        worker = Path(__file__).with_name("worker.py")
        command = [sys.executable, str(worker), name, device, str(folder), str(bundle), str(_ROOT)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self.how = str(self._answer().get("how", ""))

    def turn(self, repeats: int) -> None:
        """Time some inferences and keep their median."""
        if self.failure or self._process.stdin is None:
            return
        self._process.stdin.write(f"{repeats}\n")
        self._process.stdin.flush()
        if found := self._answer().get("ms"):
            self.ms.append(statistics.median(found))

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> Row:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        line = self._process.stdout.readline()
        if line:
            return dict(json.loads(line))
        said = self._log.read_text(errors="replace").strip().splitlines()
        self.failure = said[-1] if said else "the process ended"
        return {}


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    args = _arguments(arguments)
    if args.build:
        built = [build(name, args.target, args.folder) for name in args.build.split(",")]
        say("built, not measured. On a machine with that GPU: python -m benchmarks.cuda " + " ".join(built))
        return
    rows: list[Row] = []
    why = no_gpu() if args.device == "cuda" else ""
    if why:
        for archive in args.bundles:
            say(f"{archive.name}: would run {', '.join(PEERS)}, {args.rounds} rounds of {args.repeats} each")
        say(why)
    for archive in () if why else args.bundles:
        with tempfile.TemporaryDirectory(prefix="dyno-bench-") as name:
            say(f"{archive.name}: loading")
            rows.append(measured(archive, Path(name), args.device, args.rounds, args.repeats))
    document = {
        "measured_at": utc_now(),
        "device": args.device,
        "not_measured": why,
        "host": host_facts().model_dump(),
        "rounds": args.rounds,
        "repeats": args.repeats,
        "models": rows,
    }
    if args.json:
        write_text(args.json, json.dumps(document, indent=2) + "\n")
    if why:
        sys.exit(NO_GPU)
    _print(rows)
    if any(row["failure"] or row["differs"] for row in rows):
        sys.exit(1)


def no_gpu() -> str:
    """Say that this machine has no GPU; empty where it has one."""
    missing = compute_capability() is None
    return "no NVIDIA GPU here: nothing measured (--device cpu rehearses it)" if missing else ""


def build(name: str, target: str, folder: Path) -> str:
    """Compile a model of the zoo and write its bundle; give the bundle's path."""
    from benchmarks.zoo.registry import onnx_file
    from modeldyno.compiler.models import compile_model
    from modeldyno.runtime.tools.bundle import write_bundle

    say(f"{name}: compiling for {target}")
    archive = folder / f"{name}.{target}.tar.gz"
    with tempfile.TemporaryDirectory(prefix="dyno-bench-") as place:
        artifact = Path(place) / "artifact"
        manifest = compile_model(onnx_file(name, DEFAULT_CACHE), artifact, target=target)
        folder.mkdir(parents=True, exist_ok=True)
        write_bundle(artifact, archive)
    parity = manifest.parity.ran_on if manifest.parity else f"parity not checked: {manifest.parity_skipped}"
    say(f"wrote {archive} ({parity})")
    return str(archive)


def measured(archive: Path, folder: Path, device: str, rounds: int, repeats: int) -> Row:
    """Unpack a bundle, run all peers in turns, and give the row of its model."""
    with tarfile.open(archive) as opened:
        opened.extractall(folder / "bundle", filter="data")
    (bundle,) = (folder / "bundle").iterdir()
    manifest = json.loads((bundle / "artifact" / "manifest.json").read_text())
    specs = tuple(TensorSpec.model_validate(spec) for spec in manifest["inputs"])
    save_feeds(folder / "feeds.npz", random_feeds(specs, 0))
    with ExitStack() as stack:
        peers = []
        for name in PEERS if device == "cuda" else REHEARSED:
            peers.append(Peer(name, device, folder, bundle))
            stack.callback(peers[-1].end)
        for peer in peers:
            peer.turn(repeats)  # a first turn to warm up; its time is dropped
            peer.ms.clear()
        for _ in range(rounds):
            for peer in peers:
                peer.turn(repeats)
    return {
        "model": manifest["model"],
        "target": manifest["target"]["name"],
        "precision": manifest["precision"],
        **summary({peer.name: peer.ms for peer in peers if peer.ms}),
        **_agreement(folder),
        "how": {peer.name: peer.how for peer in peers if peer.how},
        "failure": {peer.name: peer.failure for peer in peers if peer.failure},
    }


def summary(ms: dict[str, list[float]]) -> Row:
    """Give each peer's median and quartiles, and the bundle's ratio to the fastest torch, round by round."""
    row: Row = {
        "ms": {name: round(statistics.median(found), 4) for name, found in ms.items()},
        "quartiles_ms": {name: _quartiles(found) for name, found in ms.items()},
        "fastest_torch": None,
        "ratio": None,
        "ratio_quartiles": None,
    }
    torches = [name for name in ms if name != MINE]
    if MINE not in ms or not torches:
        return row
    fastest = min(torches, key=lambda name: statistics.median(ms[name]))
    ratios = [mine / theirs for mine, theirs in zip(ms[MINE], ms[fastest], strict=True)]
    return row | {
        "fastest_torch": fastest,
        "ratio": round(statistics.median(ratios), 4),
        "ratio_quartiles": _quartiles(ratios),
    }


def _quartiles(values: list[float]) -> list[float]:
    return [round(float(value), 4) for value in np.percentile(values, [25, 75])]


def _agreement(folder: Path) -> Row:
    try:
        mine, theirs = (_arrays(folder / f"{name}.npz") for name in (MINE, EAGER))
    except OSError:
        return {"max_rel": None, "differs": False}
    worst = difference(mine, theirs)
    return {"max_rel": worst, "differs": not worst <= TOLERANCE}


def _arrays(path: Path) -> list[Any]:
    with np.load(path, allow_pickle=False) as file:
        return [np.asarray(file[name], np.float64) for name in file.files]


def _print(rows: list[Row]) -> None:
    columns = ("model", "target", *(f"{peer} ms" for peer in PEERS), "ratio", "max_rel", "missing")
    cells = [
        (
            *(row["model"], row["target"], *(_cell(row, peer) for peer in PEERS)),
            str(row["ratio"]),
            "-" if row["max_rel"] is None else f"{row['max_rel']:.1e}",
            "; ".join(f"{peer}: {why}" for peer, why in row["failure"].items()),
        )
        for row in rows
    ]
    print_table(columns, cells, right=columns[2:-1])


def _cell(row: Row, peer: str) -> str:
    if peer not in row["ms"]:
        return "-"
    low, high = row["quartiles_ms"][peer]
    return f"{row['ms'][peer]:.3f} ({low:.3f} to {high:.3f})"


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cuda", description=__doc__)
    parser.add_argument("bundles", nargs="*", type=Path, metavar="BUNDLE.tar.gz")
    parser.add_argument("--build", metavar="MODEL[,MODEL]", help="make bundles of these models of the zoo")
    parser.add_argument("--target", default="cuda-sm_90", help="of --build (default: cuda-sm_90)")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/cuda"), help="of --build (default: runs/cuda)"
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=30, help="inferences a round and peer")
    parser.add_argument("--json", type=Path, help="write all figures there")
    given = parser.parse_args(arguments)
    if bool(given.bundles) == bool(given.build):
        parser.error("give bundles to measure, or --build MODEL to make some")
    for archive in given.bundles:
        if not archive.is_file():
            parser.error(f"{archive} is no file; --build makes bundles")
    return given


if __name__ == "__main__":
    main()
