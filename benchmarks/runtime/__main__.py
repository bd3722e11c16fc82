"""The light runtime against the peers: process start to first answer, steady inference, memory, size.

    python -m benchmarks.runtime --models mobilenet_v2,resnet50 --json runs/runtime.json

Every figure comes from a process that does nothing else: one life per peer and round, in turns (A B C A B C).
A figure is the median over rounds; its spread is the quartiles. `bundle` is dyno's runtime out of an unpacked
`dyno bundle`, which comes first on its path; `dyno` is the installed one. After the rounds, several processes
hold one model at a time, and their memory is read: RSS counts a shared page in each of them, PSS divides it
among them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compile.prepare import Prepared, prepared
from benchmarks.zoo.registry import DEFAULT_CACHE
from modeldyno.base.command.console import print_table, say
from modeldyno.base.files import write_text
from modeldyno.base.host.facts import host_facts
from modeldyno.runtime.tools.bundle import write_bundle

FIGURES = ("import_ms", "load_ms", "first_ms", "start_to_first_ms", "steady_ms", "rss_mb")
DEFAULT_MODELS = "mobilenet_v2,resnet50,bert_base"
MIB = 1 << 20
Row = dict[str, Any]


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    args = _arguments(arguments)
    document: dict[str, Any] = {"host": host_facts().model_dump(), "threads": args.threads, "models": []}
    for name in args.models.split(","):
        with tempfile.TemporaryDirectory(prefix="dyno-bench-") as folder:
            document["models"].append(_row(name, Path(folder), args))
        if args.json:
            write_text(args.json, json.dumps(document, indent=2) + "\n")
    _print(document)


def _row(name: str, folder: Path, args: argparse.Namespace) -> Row:
    model = prepared(name, args.cache, folder / "model", tune_s=None, winograd=True)
    if model.failure:
        raise SystemExit(f"{name}: {model.failure}")
    made = write_bundle(model.artifact, folder / "app.tar.gz")
    with tarfile.open(made.path) as archive:
        archive.extractall(folder, filter="data")
    commands = _commands(model, folder / "app", args)
    lives: dict[str, list[Row]] = {peer: [] for peer in commands}
    for number in range(args.rounds):
        say(f"{model.name}: round {number + 1} of {args.rounds}")
        for peer, command in commands.items():
            lives[peer].append(_life(command))
    sizes = {
        "bundle": made.lib_bytes / MIB,
        **{peer: _package_mb(peer) for peer in commands if peer in PACKAGES},
    }
    return {
        "model": model.name,
        "rounds": args.rounds,
        "artifact_mb": made.artifact_bytes / MIB,
        "bundle_archive_mb": made.bytes / MIB,
        "runtime_mb": sizes,
        "peers": {peer: _summary(rows) for peer, rows in lives.items()},
        "processes": args.processes,
        "shared": {peer: _shared(command, args.processes) for peer, command in commands.items()},
    }


PACKAGES = ("onnxruntime", "openvino")


def _commands(model: Prepared, bundle: Path, args: argparse.Namespace) -> dict[str, list[str]]:
    """Command of each peer that is installed; {STARTED} and {HOLD} are filled in at the start."""
    peers: dict[str, tuple[Path, tuple[str, ...]]] = {
        "bundle": (bundle / "artifact", (str(bundle / "lib"),)),
        "dyno": (model.artifact, ()),
        **{peer: (model.onnx, ()) for peer in PACKAGES if find_spec(peer)},
    }
    worker = str(Path(__file__).with_name("start_worker.py"))
    steady, feeds = str(args.steady), str(model.folder / "feeds.npz")
    return {
        peer: [
            sys.executable,
            worker,
            peer,
            "{STARTED}",
            str(args.threads),
            steady,
            feeds,
            str(path),
            "{HOLD}",
            *lib,
        ]
        for peer, (path, lib) in peers.items()
    }


def _start(command: list[str], *, hold: bool) -> subprocess.Popen[str]:
    known = {"{STARTED}": str(time.monotonic_ns()), "{HOLD}": str(int(hold))}
    filled = [known.get(word, word) for word in command]
    # Compiled modules are kept from the first life on, as on a machine in use.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.Popen(filled, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


def _answer(process: subprocess.Popen[str], command: list[str]) -> Row:
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise SystemExit(f"{command[2]} ended with code {process.wait()} before it gave a figure")
    found: Row = json.loads(line)
    return found


def _life(command: list[str]) -> Row:
    with _start(command, hold=False) as process:
        return _answer(process, command)


def _shared(command: list[str], count: int) -> Row:
    """Memory of `count` processes that hold the model at one time, in MiB: the sums of RSS and of PSS."""
    with ExitStack() as stack:
        processes = [stack.enter_context(_start(command, hold=True)) for _ in range(count)]
        try:
            for process in processes:
                _answer(process, command)
            found = [_memory_mb(process.pid) for process in processes]
        finally:
            for process in processes:
                if process.stdin:
                    process.stdin.close()
    return {"rss_sum_mb": sum(rss for rss, _ in found), "pss_sum_mb": sum(pss for _, pss in found)}


def _memory_mb(pid: int) -> tuple[float, float]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return kib["Rss"] / 1024, kib["Pss"] / 1024


def _package_mb(name: str) -> float | None:
    """Size of a package's installed files; what it needs beside them is not counted."""
    try:
        files = distribution(name).files or ()
    except PackageNotFoundError:
        return None
    paths = (Path(str(file.locate())) for file in files)
    return sum(path.stat().st_size for path in paths if path.is_file()) / MIB


def _summary(rows: list[Row]) -> Row:
    """Median and quartiles of each figure."""
    return {
        figure: dict(
            zip(
                ("p25", "p50", "p75"),
                (
                    round(float(value), 3)
                    for value in np.percentile([row[figure] for row in rows], [25, 50, 75])
                ),
                strict=True,
            )
        )
        for figure in FIGURES
    }


def _print(document: dict[str, Any]) -> None:
    columns = (
        "model",
        "peer",
        *(figure.replace("_", " ") for figure in FIGURES),
        "runtime MB",
        "RSS sum",
        "PSS sum",
    )
    rows = []
    for row in document["models"]:
        for peer, found in row["peers"].items():
            size, shared = row["runtime_mb"].get(peer), row["shared"][peer]
            figures = (
                f"{found[name]['p50']:.1f} ({found[name]['p25']:.1f}-{found[name]['p75']:.1f})"
                for name in FIGURES
            )
            memory = (f"{shared['rss_sum_mb']:.0f}", f"{shared['pss_sum_mb']:.0f}")
            rows.append((row["model"], peer, *figures, "-" if size is None else f"{size:.1f}", *memory))
    print_table(columns, rows, right=columns[2:])


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.runtime", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", default=DEFAULT_MODELS, help="names of the zoo or ONNX files")
    parser.add_argument("--threads", type=int, default=1, help="threads inside one inference")
    parser.add_argument("--rounds", type=int, default=9, help="lives of each peer's process")
    parser.add_argument("--steady", type=int, default=20, help="steady inferences in each life")
    parser.add_argument("--processes", type=int, default=4, help="processes that hold one model at a time")
    parser.add_argument("--json", type=Path, help="also write all here, anew after each model")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="folder of the built ONNX files")
    args = parser.parse_args(arguments)
    if min(args.threads, args.rounds, args.steady, args.processes) < 1:
        parser.error("--threads, --rounds, --steady and --processes are 1 or more")
    return args


if __name__ == "__main__":
    main(sys.argv[1:])
