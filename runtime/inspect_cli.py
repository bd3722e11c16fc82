"""`dyno inspect`."""

from __future__ import annotations

from pathlib import Path

import click

from dyno import console
from dyno.errors import ArtifactError


@click.command("inspect")
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def inspect_command(artifact: Path, *, as_json: bool) -> None:
    """Show what an artifact is, and check its files.

    No code of it is loaded, so an artifact for another machine can be looked at too. Exit code 2 when a file
    is damaged.
    """
    from dyno.host import host_facts
    from runtime.inspection import inspect_artifact

    found = inspect_artifact(artifact, host_facts())
    if as_json:
        console.print_json(found.facts())
    else:
        for name, value in found.rows():
            click.echo(f"{name:<12}  {value}")
    if found.damage:
        raise ArtifactError(found.damage)
