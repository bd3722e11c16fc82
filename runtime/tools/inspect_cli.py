"""`dyno inspect`."""

from __future__ import annotations

from pathlib import Path

import click

from modeldyno.base.command import console
from modeldyno.base.errors import ArtifactError


@click.command("inspect")
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print all as JSON, the whole manifest included.")
def inspect_command(artifact: Path, *, as_json: bool) -> None:
    """Show what an artifact is: signature, target, parity, digests.

    None of its code is loaded, so an artifact made for another machine can be looked at. A file that is not
    the one in the manifest is told after the rest, with exit code 2.

    \b
    Example:
        dyno inspect artifact

    Exit codes: 0 shown; 2 no artifact, or a file that is not the one in the manifest.
    """
    from modeldyno.base.host.facts import host_facts
    from modeldyno.runtime.tools.inspection import inspect_artifact, lines

    found = inspect_artifact(artifact, host_facts())
    if as_json:
        console.print_json(found.model_dump(mode="json"))
    else:
        for line in lines(found):
            click.echo(line)
    if found.damage:
        raise ArtifactError(found.damage)
