"""Compiled artifacts against the peers, side by side in one run.

    python -m benchmarks.compile --models resnet50,minilm_l6 --threads 1,2 --peers onnxruntime,openvino

Every peer runs in a process of its own on the same cores and takes its turn: A B C A B C, for `--rounds`
rounds of about half a second each. A figure is the median over rounds of a round's median; its spread is the
quartiles over rounds. Ratios are taken round by round, so that a slow spell of the machine hits both sides of
a ratio alike. All get the same inputs, and their outputs are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from benchmarks.compile.held import held_packages
from benchmarks.compile.peers import PEERS
from benchmarks.compile.prepare import Prepared, measured_peak, prepared
from benchmarks.compile.quantised import QUANTISED, SUFFIX
from benchmarks.compile.side_by_side import Place, measure
from benchmarks.compile.summary import MINE, Row, agreement, geometric_means, peak_share, timing
from benchmarks.zoo.registry import DEFAULT_CACHE, ZOO
from modeldyno.base.command.console import print_table, say
from modeldyno.base.files import write_text
from modeldyno.base.host.facts import host_facts

DEFAULT_PEERS = "onnxruntime,openvino"
ROUNDS = 9
# What holds kernels of oneDNN, ATen and MKL to AVX2; for the rest see benchmarks/compile/held.py.
_NARROW = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line; exit code 130 when it is interrupted."""
    args = _arguments(arguments)
    if args.list:
        print("\n".join(ZOO))
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="dyno-bench-") as folder:
            document = run(args, Path(folder))
    except KeyboardInterrupt:
        say("interrupted")
        raise SystemExit(130) from None
    _print(document, args.peers)


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure every model with every number of threads; the JSON file is written anew after each row."""
    document: dict[str, Any] = {"models": [], "geomean_ratio_to_best_peer": {}, "host": _host()}
    document["target"] = args.target
    if _is_narrow(args.target):
        document["peers_held_to_avx2"] = _hold_back(args.peers, folder / "held")
    peak = document["host"]["peak_gflops_per_core"] = measured_peak(folder, args.target)
    for name in args.models:
        model = prepared(
            name,
            args.cache,
            folder / "model",
            tune_s=args.tune,
            winograd=args.winograd,
            target=args.target,
        )
        for threads in args.threads:
            document["models"].append(_row(model, threads, args, peak))
            document["geomean_ratio_to_best_peer"] = geometric_means(document["models"])
            if args.json:
                write_text(args.json, json.dumps(document, indent=2) + "\n")
    return document


def _row(model: Prepared, threads: int, args: argparse.Namespace, peak: float | None) -> Row:
    say(f"{model.name}, {threads} thread(s): {', '.join(args.peers)} in turns, {args.rounds} rounds")
    missing = {MINE: model.failure} if model.failure else {}
    place = Place(model.zoo_name, model.onnx, model.artifact, model.folder)
    found = measure(args.peers, place, threads=threads, rounds=args.rounds, missing=missing)
    times = timing(found, args.peers)
    say(f" {times['ms']} ms; ratio {times['ratio_to_best_peer']}")
    for peer, reason in found.missing.items():
        say(f"  {peer}: {reason}")
    return {
        "model": model.name,
        "threads": threads,
        **times,
        "peak_share": peak_share(model.flops, times["ms"].get(MINE), threads, peak),
        "compile_s": model.compile_s,
        "artifact_mb": model.artifact_mb,
        "gflop": None if model.flops is None else round(model.flops / 1e9, 3),
        "peak_rss_mb": {peer: found.peak_rss_mb.get(peer) for peer in args.peers},
        "load_s": found.load_s,
        "how": found.how,
        "winograd": args.winograd,
        "missing": found.missing,
        "rounds": args.rounds,
        **agreement(model.folder, list(found.ms)),
    }


def _hold_back(peers: list[str], folder: Path) -> list[str]:
    """Hold what is started from now on to AVX2; give the peers for which that is so."""
    held = {*held_packages(folder), "torch"}
    found = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ |= {**_NARROW, "PYTHONPATH": os.pathsep.join(found)}
    return [peer for peer in peers if peer in held]


def _is_narrow(target: str) -> bool:
    """Whether a target is an x86 processor without AVX-512."""
    from modeldyno.compiler.targets.catalog import resolve_target

    found = resolve_target(target, host_facts())
    return found.architecture == "x86_64" and "avx512f" not in found.features


def _host() -> dict[str, Any]:
    facts: dict[str, Any] = host_facts().model_dump()
    installed = {found.metadata["Name"]: found.version for found in distributions()}
    facts["packages"] |= {name: installed[name] for name in ("openvino", "transformers") if name in installed}
    return facts


def _print(document: dict[str, Any], peers: list[str]) -> None:
    columns = ("model", "threads", *(f"{peer} ms" for peer in peers), "ratio", "quartiles", "of peak")
    columns = (*columns, "compile s", "MB", *(f"{peer} RSS" for peer in peers), "max diff")
    print_table(columns, [_cells(row, peers) for row in document["models"]], right=columns[1:])
    means = document["geomean_ratio_to_best_peer"]
    for threads, mean in means.items():
        rows = [row for row in document["models"] if str(row["threads"]) == threads]
        counted = sum(row["ratio_to_best_peer"] is not None for row in rows)
        print(f"{threads} thread(s): geometric mean of the ratio to the best peer {mean} ({counted} models)")
    if "peers_held_to_avx2" in document:
        held = ", ".join(document["peers_held_to_avx2"]) or "none"
        print(f"compiled for {document['target']}; peers held to AVX2 as well: {held}")
    reasons = {(row["model"], *item) for row in document["models"] for item in row["missing"].items()}
    for model, peer, reason in sorted(reasons):
        print(f"no figure for {peer} on {model}: {reason}")


def _cells(row: Row, peers: list[str]) -> tuple[str, ...]:
    quartiles = row["ratio_quartiles"]
    return (
        row["model"],
        str(row["threads"]),
        *(_shown(row["ms"][peer], ".2f") for peer in peers),
        _shown(row["ratio_to_best_peer"], ".2f"),
        "{:.2f}-{:.2f}".format(*quartiles) if quartiles else "-",
        _shown(row["peak_share"], ".0%"),
        _shown(row["compile_s"], ".1f"),
        _shown(row["artifact_mb"], ".1f"),
        *(_shown(row["peak_rss_mb"][peer], ".0f") for peer in peers),
        _shown(row["largest_difference"], ".1e") + (" DIFFERS" if row["differs"] else ""),
    )


def _shown(value: float | None, pattern: str) -> str:
    return "-" if value is None else format(value, pattern)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.compile", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--models",
        default="",
        help=f"names (see --list), {SUFFIX!r} behind for the quantised form, or files; default: all names",
    )
    parser.add_argument("--threads", default="1,2", help="numbers of threads inside one inference")
    parser.add_argument("--peers", help=f"of {', '.join(PEERS)}; dyno always runs [default: {DEFAULT_PEERS}]")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of half a second for each peer")
    parser.add_argument("--json", type=Path, help="also write the rows here, anew after each")
    parser.add_argument("--tune", type=float, metavar="SECONDS", help="let dyno tune for so long a model")
    parser.add_argument(
        "--no-winograd", dest="winograd", action="store_false", help="direct convolution only"
    )
    parser.add_argument(
        "--target", default="host", help="what dyno compiles for; of those that this machine can run"
    )
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="folder of the built ONNX files")
    parser.add_argument("--list", action="store_true", help="print the models' names and end")
    args = parser.parse_args(arguments)
    args.models = _names(args.models) or list(ZOO)
    args.peers = [MINE, *(peer for peer in _names(args.peers or DEFAULT_PEERS) if peer != MINE)]
    try:
        args.threads = [int(text) for text in _names(args.threads)]
    except ValueError:
        args.threads = []
    _check(parser, args)
    return args


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if not args.threads or min(args.threads) < 1 or args.rounds < 1:
        parser.error("--threads and --rounds take numbers of 1 or more")
    for peer in args.peers:
        if peer not in PEERS:
            parser.error(f"unknown peer {peer!r}; the peers are: {', '.join(PEERS)}")
    for name in args.models:
        if name not in (*ZOO, *QUANTISED) and not Path(name).is_file():
            parser.error(f"unknown model {name!r}: no file, and none of {', '.join(ZOO)}")


if __name__ == "__main__":
    main(sys.argv[1:])
