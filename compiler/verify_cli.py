"""`dyno verify`."""

from __future__ import annotations

import click

from modeldyno.base.command import console
from modeldyno.base.exit_codes import ANSWER_IS_NO, DONE, NOT_DECIDED
from modeldyno.base.flags import flags_of
from modeldyno.compiler.options import VerifyOptions

EXIT_CODES = {"same": DONE, "differs": ANSWER_IS_NO, "not decided": NOT_DECIDED}


@click.command("verify")
@flags_of(VerifyOptions, "options")
def verify_command(options: VerifyOptions) -> int:
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

    check_model_file(options.model)
    from modeldyno.compiler.reverify import verify_artifact
    from modeldyno.runtime.tools.parity_text import parity_lines

    found = verify_artifact(
        options.artifact,
        options.model,
        inputs=options.inputs,
        seed=options.seed,
        tolerance=options.tolerance,
    )
    if not found.same_source:
        console.say(f"note: {options.model} is not the very file that {options.artifact} was made from")
    if options.as_json:
        console.print_json(found.model_dump(mode="json"))
    else:
        for line in parity_lines(found.parity):
            click.echo(line)
        click.echo(f"{found.verdict}: {found.difference}" if found.difference else found.verdict)
    return EXIT_CODES[found.verdict]
