"""What ARM code executes, counted under emulation: vector multiply-adds against the model's own operations.

    python -m modeldyno.compiler.check.emulation.prepare
    python -m benchmarks.emulate --models mobilenet_v2,resnet18,minilm_l6 --target neoverse-n1 --json FILE

Emulation tells right from wrong and counts; it does not tell how fast a real processor is. Each model is
compiled for the target and run twice, for one inference and for two: the difference is what one inference
executes, without Python's start. One multiply-add of four lanes (fmla v.4s) does 8 of the model's operations,
so operations / 8 is the floor for direct convolution: `fma_per_floor` is over 1 for ragged tiles, and under 1
for Winograd. `vector_share` is the share of all multiply-adds' work that is done four lanes at a time.
`fma_density` is the share of all instructions that are such multiply-adds, `stack_per_fma` what was spilled:
vector loads and stores at the stack pointer for each of them. Results are compared with ONNX Runtime's.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.zoo.registry import DEFAULT_CACHE, onnx_file
from modeldyno.base.command.console import print_table, say
from modeldyno.base.errors import DynoError
from modeldyno.base.files import write_text
from modeldyno.base.host.facts import host_facts
from modeldyno.base.process.procs import python_module
from modeldyno.compiler.check.compare import compare
from modeldyno.compiler.check.emulation.root import PREPARE, Emulator, cpu_model, find_emulator
from modeldyno.compiler.check.emulation.run import run_emulated
from modeldyno.compiler.compile import compile_source
from modeldyno.compiler.frontends.dispatch import read_model
from modeldyno.compiler.options import Options
from modeldyno.compiler.request import CompileRequest
from modeldyno.compiler.targets.catalog import TARGETS, CompileTarget
from modeldyno.runtime.sessions.feeds import random_feeds

DEFAULT_MODELS = "mobilenet_v2,resnet18,minilm_l6"
_LINE = re.compile(r"^count (\w+) (\d+)$", re.MULTILINE)
Counts = dict[str, int]


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    args = _arguments(arguments)
    emulator = find_emulator()
    if emulator is None:
        raise SystemExit(f"no emulator is prepared for the packages installed here: `{PREPARE}`")
    rows = []
    with tempfile.TemporaryDirectory(prefix="dyno-bench-") as name:
        plugin = built_plugin(Path(name))
        for model in args.models.split(","):
            path = Path(model) if Path(model).suffix else onnx_file(model, args.cache)
            say(f"{model}: compiling and counting")
            try:
                rows.append(counted(path, TARGETS[args.target], emulator, plugin, Path(name)))
            except DynoError as error:
                raise SystemExit(f"{model}: {error}") from error
    document = {"host": host_facts().model_dump(), "emulator": emulator.record.model_dump(), "models": rows}
    if args.json:
        write_text(args.json, json.dumps(document, indent=2) + "\n")
    _print(rows)


def built_plugin(folder: Path) -> Path:
    """Compile QEMU's plugin that counts."""
    library = folder / "count.so"
    source = Path(__file__).with_name("count.c")
    options = ("-target", "x86_64-linux-gnu", "-O2", "-shared", "-fPIC", "-o", str(library))
    subprocess.run(python_module("ziglang", "cc", *options, str(source)), check=True)
    return library


def counted(
    path: Path, target: CompileTarget, emulator: Emulator, plugin: Path, folder: Path
) -> dict[str, Any]:
    """Compile one model, run it emulated, and give its counts for one inference.

    Raises:
        DynoError: it can't be compiled, or run.
    """
    source = read_model(path, {})
    artifact = folder / "artifact"
    options = Options(verify=False, reuse_tuning=False)
    manifest = compile_source(CompileRequest(source, target, options), artifact)
    feeds = random_feeds(source.inputs, 0)
    cpu = cpu_model(target)
    assert cpu is not None  # noqa: S101 - the command offers no other target
    counts = []
    for repeat in (1, 2):
        log = folder / f"{repeat}.log"
        outputs = run_emulated(emulator, cpu, [(artifact, feeds)], repeat=repeat, plugin=(plugin, log))[0]
        counts.append(totals(log.read_text()))
    expected = source.reference(feeds)
    parity = [compare(name, wanted, outputs[name]) for name, wanted in expected.items()]
    flops = sum((kernel.flops or 0) * kernel.calls for kernel in manifest.kernels)
    once = {name: counts[1][name] - counts[0][name] for name in counts[0]}
    return {
        "model": path.name,
        "target": target.name,
        "emulated": cpu,
        "model_operations": flops,
        "max_rel": max(row.max_rel for row in parity),
        **shares(once, flops),
        "executed": once,
    }


def totals(log: str) -> Counts:
    """Add up what the plugin wrote, by name."""
    found: Counts = {}
    for name, number in _LINE.findall(log):
        found[name] = found.get(name, 0) + int(number)
    return found


def shares(executed: Counts, flops: int) -> dict[str, float]:
    """Turn counts of one inference into shares; the names are explained above."""
    vector = executed["fma_vector"]
    work = {"fma_vector": 8, "fma_half_vector": 4, "fma_scalar": 2}
    all_work = sum(executed[name] * operations for name, operations in work.items())
    return {
        "vector_share": round(8 * vector / all_work, 5) if all_work else 0.0,
        "fma_per_floor": round(8 * vector / flops, 4) if flops else 0.0,
        "fma_density": round(vector / max(1, sum(executed.values())), 4),
        "stack_per_fma": round(executed["stack_vector"] / max(1, vector), 4),
    }


def _print(rows: list[dict[str, Any]]) -> None:
    figures = ("vector_share", "fma_per_floor", "fma_density", "stack_per_fma", "max_rel")
    columns = ("model", "target", "GFLOP", "instructions", *figures)
    cells = [
        (
            *(row["model"], row["target"], f"{row['model_operations'] / 1e9:.3f}"),
            f"{sum(row['executed'].values()) / 1e6:.1f}e6",
            *(f"{row[name]:.5g}" for name in figures),
        )
        for row in rows
    ]
    print_table(columns, cells, right=columns[2:])


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.emulate", description=__doc__)
    emulated = [name for name, target in TARGETS.items() if cpu_model(target)]
    parser.add_argument(
        "--models", default=DEFAULT_MODELS, help="names or .onnx files (default: %(default)s)"
    )
    parser.add_argument("--target", default="neoverse-n1", choices=emulated)
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="where the models lie")
    parser.add_argument("--json", type=Path, help="write all figures there")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
