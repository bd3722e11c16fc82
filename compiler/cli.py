"""`dyno compile` and `dyno targets`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modeldyno.base.command import console
from modeldyno.base.command.outputs import OutputFile, OutputFolder
from modeldyno.base.command.shape_flag import split_shapes
from modeldyno.base.errors import ConfigError
from modeldyno.base.process.procs import python_module

if TYPE_CHECKING:
    from modeldyno.compiler.targets.catalog import CompileTarget
    from modeldyno.runtime.records.buckets import Buckets
    from modeldyno.runtime.records.manifest import TuningFacts

_ARGUMENTS = "dyno.arguments"


class _KeptArguments(click.Command):
    """Keeps the arguments as they were given: a process of its own gets the same."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep, then parse."""
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)


@click.command("compile", cls=_KeptArguments)
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--output", "-o", type=OutputFolder(replaced=True), required=True, help="Artifact folder to write."
)
@click.option(
    "--target",
    default="host",
    show_default=True,
    help="What to compile for: a target that `dyno targets` lists, or an instance type.",
)
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="NAME=1..32,3,224,224",
    help="Shape of an input that the model leaves open; once for each. A size is a number; a list of exact "
    "sizes, '1|4|8'; a range, 1..32, compiled for some sizes, to the next of which requests are padded "
    "with zeros; or a range with the sizes to compile, '1..32@1|8|32'. Dimensions of one symbolic name in "
    "the model move together, as do those without a name that are given equal ranges.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    help="Largest accepted difference from the source model, relative to each output's largest value; what "
    "rounding of the inputs does to it is added.  [default: 1e-4; 1e-3 where Winograd convolutions are used]",
)
@click.option(
    "--inputs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE.npz",
    help="Your own inputs to compare the outputs on too, arrays named as the model's inputs; once for each "
    "record.",
)
@click.option("--no-winograd", is_flag=True, help="Convolve 3x3 filters directly too: exacter, and slower.")
@click.option("--seed", default=0, show_default=True, help="Seed of the samples that parity is checked on.")
@click.option("--no-verify", is_flag=True, help="Skip the parity check; the manifest then has none.")
@click.option("--dump-dir", type=OutputFolder(), help="Write the module after each stage into this folder.")
@click.option(
    "--tune",
    "tune_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Measure ways to compute the model's convolutions and matrix products for about so long, and take "
    "the fastest. What was measured is kept and used by every later compile.",
)
@click.option(
    "--tuning-records",
    type=OutputFile(),
    metavar="FILE",
    help="Where that is kept.  [default: modeldyno/tuning.jsonl in the user's cache folder]",
)
@click.option("--no-tuning-records", is_flag=True, help="Neither use nor keep what was measured.")
@click.option(
    "--fallback",
    type=click.Choice(["onnxruntime"]),
    help="Run what can't be compiled there, as segments of the artifact.  [default: stop, and name it]",
)
@click.option(
    "--min-compiled",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Exit 1 and keep no artifact if a smaller share of the model's FLOPs is compiled, e.g. 0.95.",
)
@click.option(
    "--time-limit",
    "time_limit_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="End the compile after so long, and keep nothing.  [default: no limit]",
)
@click.option(
    "--memory-limit",
    "memory_limit_mib",
    type=click.IntRange(min=1),
    metavar="MIB",
    help="End the compile when it takes more memory, and keep nothing.  [default: 90 % of what the machine, "
    "or the control group around it, has]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
@click.option("--here", type=click.Path(path_type=Path), hidden=True, help="Do the work in this process.")
@click.pass_context
def compile_command(
    ctx: click.Context,
    model: Path,
    *,
    output: Path,
    target: str,
    shapes: tuple[str, ...],
    tolerance: float | None,
    inputs: tuple[Path, ...],
    no_winograd: bool,
    seed: int,
    no_verify: bool,
    dump_dir: Path | None,
    tune_s: float | None,
    tuning_records: Path | None,
    no_tuning_records: bool,
    fallback: str | None,
    min_compiled: float | None,
    time_limit_s: float | None,
    memory_limit_mib: int | None,
    as_json: bool,
    here: Path | None,
) -> None:
    """Compile an ONNX or torch.export model into an artifact folder.

    MODEL is an .onnx file (external data beside it is read too) or a .pt2 file of torch.export.save. The
    outputs are checked against the source model's on several kinds of seeded inputs: if they differ, there is
    no artifact. Nor is there one of a model with operators that can't be compiled, which are named, unless
    `--fallback` says where they are to run. The work is done in a process of its own, within limits.
    """
    parsed = split_shapes(shapes)
    if tuning_records and no_tuning_records:
        raise ConfigError("--tuning-records and --no-tuning-records go against each other")
    if inputs and no_verify:
        raise ConfigError("--inputs is for the check that --no-verify leaves out")
    from modeldyno.compiler.model.source import check_model_file
    from modeldyno.compiler.options import Options

    check_model_file(model)
    from modeldyno.base.host.facts import host_facts
    from modeldyno.compiler import apart
    from modeldyno.compiler.artifact.outputs import check_output
    from modeldyno.compiler.targets.catalog import resolve_target
    from modeldyno.runtime.tools.parity_text import undecided_lines

    check_output(output)
    if here is None:  # the hidden option, of the process that does the work: where it tells how far it is
        command = python_module("modeldyno", "compile", *ctx.meta[_ARGUMENTS], "--here")
        limits = apart.limits_of(memory_limit_mib, time_limit_s)
        ctx.exit(apart.run_apart(command, output, model.name, limits))
    from modeldyno.compiler.models import compile_model

    # Here, not above: to know what `host` is takes TVM, and only one of the two processes is to load it.
    console.say(f"target: {resolve_target(target, host_facts()).name}")
    console.say(f"limits: {apart.limits_text(here)}")
    began = time.perf_counter()

    def on_stage(name: str) -> None:
        apart.note_stage(here, name)
        console.say(f"{time.perf_counter() - began:7.1f}s  {name}")

    with apart.silent_interrupts():
        manifest = compile_model(
            model,
            output,
            target=target,
            shapes=parsed,
            inputs=inputs,
            options=Options(
                tolerance=tolerance,
                winograd=not no_winograd,
                seed=seed,
                verify=not no_verify,
                dump_dir=dump_dir,
                tune_s=tune_s,
                tuning_records=tuning_records,
                reuse_tuning=not no_tuning_records,
                fallback=fallback,
                min_compiled=min_compiled,
            ),
            on_stage=on_stage,
            on_tuning=lambda text: console.say(f"{time.perf_counter() - began:7.1f}s    {text}"),
        )
    if as_json:
        for line in undecided_lines(manifest.parity):
            console.say(line)
        click.echo(manifest.model_dump_json(indent=2))
        return
    _show(manifest, output, time.perf_counter() - began)


@click.command("targets")
@click.argument("pattern", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def targets_command(pattern: str | None, as_json: bool) -> None:
    """List the compilation targets.

    PATTERN narrows the list, e.g. 'znver*'.
    """
    from fnmatch import fnmatch

    from modeldyno.compiler.targets.catalog import TARGETS

    found = [target for name, target in TARGETS.items() if fnmatch(name, pattern or "*")]
    rows = [_target_row(target) for target in found]
    if as_json:
        console.print_json(rows)
        return
    if not rows:
        raise ConfigError(f"no target matches {pattern!r}; the targets are: host, {', '.join(TARGETS)}")
    console.print_table(
        ("target", "architecture", "vectors", "L2", "builds here", "runs here", "what it is", "also called"),
        [
            (
                r["target"],
                r["architecture"],
                f"{r['vector_registers']} x {r['vector_bits']} bit" if r["vector_bits"] else "",
                f"{r['l2_kib']} KiB" if r["l2_kib"] else "",
                "yes" if r["builds_here"] else "no",
                r["runs_here"],
                r["note"],
                ", ".join(r["other_names"]),
            )
            for r in rows
        ],
        right=("vectors", "L2"),
    )
    for reason, names in _reasons(rows).items():
        console.say(f"{', '.join(names)}: {reason}")
    console.say("An instance type is a target too: --target c7g.xlarge, ml.c7g.xlarge or ml_c7g.")
    console.say(
        "`--target host` takes what this machine has. What runs here, or is emulated, is checked after "
        "compiling too."
    )


def _target_row(target: CompileTarget) -> dict[str, Any]:
    from modeldyno.base.host.facts import host_facts
    from modeldyno.compiler.check.reach import runs_where, why_not_built
    from modeldyno.compiler.targets.names import other_names

    gpu = target.kind == "cuda"
    running, unbuilt = runs_where(target, host_facts()), why_not_built(target)
    return {
        "target": target.name,
        "architecture": target.cpu if gpu else target.architecture,
        "vector_bits": None if gpu else target.machine.lanes * 32,
        "vector_registers": None if gpu else target.machine.registers,
        "l2_kib": None if gpu else target.machine.l2_bytes >> 10,
        "builds_here": not unbuilt,
        "builds_here_reason": unbuilt,
        "runs_here": running.runs,
        "runs_here_reason": running.reason,
        "note": target.note,
        "other_names": list(other_names(target.name)),
        "features": list(target.features),
    }


def _reasons(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Give each reason why something is not done here, and the targets that it holds for."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        for key in ("builds_here", "runs_here"):
            if reason := row[f"{key}_reason"]:
                answer = "no" if row[key] is False else row[key]
                said = f"{key.replace('_', ' ')}: {answer}; {reason}"
                reasons.setdefault(said, []).append(row["target"])
    return reasons


def _show(manifest: object, output: Path, seconds: float) -> None:
    from modeldyno.base.units import BYTES_PER_MIB, short_duration
    from modeldyno.runtime.records.manifest import Manifest
    from modeldyno.runtime.tools.inspection import compiled_lines, road_line
    from modeldyno.runtime.tools.parity_text import parity_lines

    assert isinstance(manifest, Manifest)  # noqa: S101 - a type for the reader; compile_model gives no other
    size = manifest.bytes / BYTES_PER_MIB
    click.echo(
        f"compiled {manifest.model} for {manifest.target.name} in {short_duration(seconds)}: "
        f"{output} ({size:.1f} MiB)"
    )
    if manifest.road and manifest.road.reason:
        click.echo(f"import path: {road_line(manifest.road)}")
    _show_buckets(manifest.buckets)
    _show_tuning(manifest.tuning)
    for line in compiled_lines(manifest):
        click.echo(line)
    if manifest.parity is None:
        click.echo(f"parity: not checked: {manifest.parity_skipped}")
        return
    for line in parity_lines(manifest.parity):
        click.echo(line)


def _show_buckets(found: Buckets | None) -> None:
    """Print the shapes that were compiled, and what padding costs; nothing where there is one shape."""
    if found is None:
        return
    from modeldyno.runtime.buckets_text import bucket_rows, columns, sentences

    console.print_table(columns(found), bucket_rows(found), right=columns(found)[1:])
    for line in sentences(found):
        click.echo(line)


def _show_tuning(tuning: TuningFacts | None) -> None:
    """Print where the kernels come from and those that measuring made faster; nothing if untuned."""
    if tuning is None or not tuning.measured + tuning.from_records:
        return
    click.echo(
        f"kernels: {tuning.measured} measured now, {tuning.from_records} from records, "
        f"{tuning.default} not measured; {len(tuning.faster)} faster than by default"
    )
    if not tuning.faster:
        return
    saved = sorted(tuning.faster, key=lambda kernel: -kernel.calls * (kernel.default_us - kernel.tuned_us))
    console.print_table(
        ("kernel", "calls", "before us", "after us", "ratio"),
        [
            (
                kernel.kernel,
                str(kernel.calls),
                f"{kernel.default_us:.1f}",
                f"{kernel.tuned_us:.1f}",
                f"{kernel.tuned_us / kernel.default_us:.2f}",
            )
            for kernel in saved
        ],
        right=("calls", "before us", "after us", "ratio"),
    )
