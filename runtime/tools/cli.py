"""`dyno run`."""

from __future__ import annotations

from pathlib import Path

import click

from modeldyno.base.command import console
from modeldyno.base.command.outputs import OutputFolder
from modeldyno.base.command.shape_flag import fixed_shapes
from modeldyno.base.errors import ConfigError


@click.command("run")
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="[NAME=]FILE.npy",
    help="One input; the name may be left out when the model has one. Without any: seeded random input.",
)
@click.option("--output", "-o", type=OutputFolder(), help="Folder for the outputs, one .npy each.")
@click.option(
    "--threads", type=click.IntRange(min=1), help="Threads inside one inference [default: usable cores]."
)
@click.option(
    "--repeat", type=click.IntRange(min=1), default=20, show_default=True, help="Steady inferences to time."
)
@click.option("--seed", default=0, show_default=True, help="Seed of random input.")
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="NAME=8,3,224,224",
    help="Shape of random input, where the artifact takes several; without it the smallest.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the times as JSON.")
def run_command(
    artifact: Path,
    *,
    inputs: tuple[str, ...],
    output: Path | None,
    threads: int | None,
    repeat: int,
    seed: int,
    shapes: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run one inference of an artifact and save its outputs.

    The times of loading, of the first inference and of steady inference are told apart.

    \b
    Example:
        dyno run artifact --input image.npy -o outputs

    Exit codes: 0 run; 2 bad input, or the artifact does not run here.
    """
    from modeldyno.runtime.inference import load_inputs, run_once, save_outputs

    if inputs and shapes:
        raise ConfigError("--shape is for random input; the files of --input have shapes of their own")
    fixed = fixed_shapes(shapes)
    result = run_once(
        artifact,
        lambda specs: load_inputs(specs, inputs, seed=seed, shapes=fixed),
        threads=threads,
        repeat=repeat,
    )
    saved = save_outputs(result.outputs, output) if output else []
    if as_json:
        console.print_json({**result.times(), "outputs": [str(path) for path in saved]})
        return
    for line in result.lines():
        click.echo(line)
    for path in saved:
        click.echo(f"wrote {path}")
