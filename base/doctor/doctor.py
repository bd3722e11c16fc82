"""`dyno doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from modeldyno.base.command.console import print_json
from modeldyno.base.exit_codes import ANSWER_IS_NO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modeldyno.base.doctor.findings import Finding

COLOURS = {"ok": "green", "note": "yellow", "missing": "red"}


@click.command("doctor", short_help="Say what this machine can do, and what is missing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def doctor_command(*, as_json: bool) -> None:
    """Say what this machine can do, and what is missing.

    \b
    Example:
        dyno doctor

    Exit codes: 0 all that a main command needs is there; 1 something is missing.
    """
    findings = examine(Path.cwd())
    missing = [found.name for found in findings if found.status == "missing"]
    if as_json:
        print_json({"missing": missing, "findings": [found.model_dump() for found in findings]})
    else:
        _print(findings)
        click.echo(f"\nMissing: {', '.join(missing) or 'nothing'}.")
    if missing:
        click.get_current_context().exit(ANSWER_IS_NO)


def examine(folder: Path) -> list[Finding]:
    """Look at the machine and its software; `folder` is where results would go. Takes about a second."""
    from modeldyno.base.doctor.cpu_checks import cpu_findings
    from modeldyno.base.doctor.machine_checks import machine_findings
    from modeldyno.base.doctor.software_checks import software_findings

    return [*cpu_findings(), *machine_findings(folder), *software_findings()]


def _print(findings: Sequence[Finding]) -> None:
    group = ""
    for found in findings:
        if found.group != group:
            group = found.group
            click.echo(group)
        click.echo(f"  {click.style(f'{found.status:<8}', fg=COLOURS[found.status])} {found.text}")
        if found.advice:
            click.echo(f"  {'':<8} -> {found.advice}")
