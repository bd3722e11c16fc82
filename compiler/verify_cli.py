"""`dyno verify`."""

from __future__ import annotations

from pathlib import Path

import click

from modeldyno.base.command import console

EXIT_CODES = {"same": 0, "differs": 1, "not decided": 3}


@click.command("verify")
@click.argument("artifact", type=click.Path(path_type=Path))
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--inputs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE.npz",
    help="Your own inputs to compare the outputs on too, arrays named as the model's inputs; once for each "
    "record.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the samples.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    help="Largest accepted difference from the source model, relative to each output's largest value; what "
    "rounding of the inputs does to it is added.  [default: that of the artifact's own check]",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def verify_command(
    artifact: Path,
    model: Path,
    *,
    inputs: tuple[Path, ...],
    seed: int,
    tolerance: float | None,
    as_json: bool,
) -> int:
    """Compare an artifact's outputs with its source model's, again.

    MODEL is the .onnx or .pt2 file that ARTIFACT was compiled from. Both run on several kinds of seeded
    inputs and on those of --inputs.

    Exit codes: 0 the same; 1 an output differs; 3 not decided: the source model itself changes by more than
    the tolerance when its inputs move by one unit in the last place; 2 bad input.

    \b
    Example:
        dyno verify artifact model.onnx --inputs cat.npz --inputs dog.npz --seed 7
    """
    from modeldyno.compiler.model.source import check_model_file

    check_model_file(model)
    from modeldyno.compiler.reverify import verify_artifact
    from modeldyno.runtime.tools.parity_text import parity_lines

    found = verify_artifact(artifact, model, inputs=inputs, seed=seed, tolerance=tolerance)
    if not found.same_source:
        console.say(f"note: {model} is not the very file that {artifact} was made from")
    if as_json:
        console.print_json(found.model_dump(mode="json"))
    else:
        for line in parity_lines(found.parity):
            click.echo(line)
        click.echo(f"{found.verdict}: {found.difference}" if found.difference else found.verdict)
    return EXIT_CODES[found.verdict]
