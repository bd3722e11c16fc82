"""`dyno compile` and `dyno targets`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dyno import console
from dyno.errors import ConfigError

if TYPE_CHECKING:
    from runtime.manifest import TuningFacts


@click.command("compile")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), required=True, help="Artifact folder to write."
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
    metavar="NAME=1,3,224,224",
    help="Shape of an input that the model leaves open.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    help="Largest accepted difference from the source model, relative to each output's largest value.  "
    "[default: 1e-4; 1e-3 where Winograd convolutions are used]",
)
@click.option("--no-winograd", is_flag=True, help="Convolve 3x3 filters directly too: exacter, and slower.")
@click.option("--seed", default=0, show_default=True, help="Seed of the inputs that parity is checked on.")
@click.option("--no-verify", is_flag=True, help="Skip the parity check; the manifest then has none.")
@click.option(
    "--dump-dir", type=click.Path(path_type=Path), help="Write the module after each stage into this folder."
)
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
    type=click.Path(path_type=Path, dir_okay=False),
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
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def compile_command(
    model: Path,
    *,
    output: Path,
    target: str,
    shapes: tuple[str, ...],
    tolerance: float | None,
    no_winograd: bool,
    seed: int,
    no_verify: bool,
    dump_dir: Path | None,
    tune_s: float | None,
    tuning_records: Path | None,
    no_tuning_records: bool,
    fallback: str | None,
    min_compiled: float | None,
    as_json: bool,
) -> None:
    """Compile an ONNX or torch.export model into an artifact folder.

    MODEL is an .onnx file (external data beside it is read too) or a .pt2 file of torch.export.save. The
    outputs are checked against the source model's on seeded random input: if they differ, there is no
    artifact. Nor is there one of a model with operators that can't be compiled, which are named, unless
    `--fallback` says where they are to run.
    """
    parsed = parse_shapes(shapes)
    if tuning_records and no_tuning_records:
        raise ConfigError("--tuning-records and --no-tuning-records go against each other")
    from compiler.options import Options
    from compiler.source import check_model_file

    check_model_file(model)
    from compiler.build import compile_model
    from compiler.targets import resolve_target
    from dyno.host import host_facts

    console.say(f"target: {resolve_target(target, host_facts()).name}")
    began = time.perf_counter()
    manifest = compile_model(
        model,
        output,
        target=target,
        shapes=parsed,
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
        on_stage=lambda name: console.say(f"{time.perf_counter() - began:7.1f}s  {name}"),
        on_tuning=lambda text: console.say(f"{time.perf_counter() - began:7.1f}s    {text}"),
    )
    if as_json:
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

    from compiler.target_names import other_names
    from compiler.targets import TARGETS, runs_here
    from dyno.host import host_facts

    host = host_facts()
    found = [target for name, target in TARGETS.items() if fnmatch(name, pattern or "*")]
    rows = [
        {
            "target": target.name,
            "architecture": target.architecture,
            "vector_bits": target.machine.lanes * 32,
            "runs_here": runs_here(target, host),
            "note": target.note,
            "other_names": list(other_names(target.name)),
            "features": list(target.features),
        }
        for target in found
    ]
    if as_json:
        console.print_json(rows)
        return
    if not rows:
        raise ConfigError(f"no target matches {pattern!r}; the targets are: host, {', '.join(TARGETS)}")
    console.print_table(
        ("target", "architecture", "vectors", "runs here", "what it is", "also called"),
        [
            (
                str(r["target"]),
                str(r["architecture"]),
                f"{r['vector_bits']} bit",
                "yes" if r["runs_here"] else "no",
                str(r["note"]),
                ", ".join(other_names(str(r["target"]))),
            )
            for r in rows
        ],
        right=("vectors",),
    )
    console.say("An instance type is a target too: --target c7g.xlarge, ml.c7g.xlarge or ml_c7g.")
    console.say(
        "`--target host` takes what this machine has. Those that run here are checked after compiling too."
    )


def parse_shapes(texts: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Turn `name=1,3,224,224` texts into shapes by input name.

    Raises:
        ConfigError: a text has no name, or a size that is no positive whole number.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, sign, sizes = text.rpartition("=")
        try:
            shape = tuple(int(size) for size in sizes.split(",")) if sizes else ()
        except ValueError:
            shape = (0,)
        if not sign or not name or any(size < 1 for size in shape):
            raise ConfigError(f"--shape {text}: expected NAME=SIZE,SIZE,… with positive whole sizes")
        if name in shapes:
            raise ConfigError(f"--shape {name} is given twice")
        shapes[name] = shape
    return shapes


def _show(manifest: object, output: Path, seconds: float) -> None:
    from dyno.units import BYTES_PER_MIB, short_duration
    from runtime.inspection import compiled_lines
    from runtime.manifest import Manifest

    assert isinstance(manifest, Manifest)  # noqa: S101 - a type for the reader; compile_model gives no other
    size = manifest.bytes / BYTES_PER_MIB
    click.echo(
        f"compiled {manifest.model} for {manifest.target.name} in {short_duration(seconds)}: "
        f"{output} ({size:.1f} MiB)"
    )
    _show_tuning(manifest.tuning)
    for line in compiled_lines(manifest):
        click.echo(line)
    if manifest.parity is None:
        click.echo(f"parity: not checked: {manifest.parity_skipped}")
        return
    for row in manifest.parity.outputs:
        click.echo(
            f"parity of {row.output} with {manifest.parity.reference}: max abs {row.max_abs:.1e}, "
            f"max rel {row.max_rel:.1e}, cosine {row.cosine:.7f}"
        )
        if row.not_finite:
            click.echo(
                f"  {row.not_finite:.1%} of its values are NaN or infinite in both, and compare nothing"
            )


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
