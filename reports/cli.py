"""`dyno report`: the HTML page again, from a run's saved records."""

from __future__ import annotations

from pathlib import Path

import click

from modeldyno.base.command.console import say
from modeldyno.base.command.outputs import OutputFile
from modeldyno.base.files import STDOUT


@click.command("report", short_help="Write a run's one-file HTML report again from its records.")
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option(
    "--output",
    "-o",
    type=OutputFile(),
    help="File to write, - for stdout; default RUN_DIR/report.html.",
)
@click.option(
    "--open",
    "open_it",
    type=click.BOOL,
    default=False,
    metavar="yes|no",
    help="Show the page in the web browser afterwards; default no.",
)
def report_command(run_dir: Path, output: Path | None, open_it: bool) -> None:
    """Write a run's one-file HTML report again from its records.

    RUN_DIR is the --output folder of `dyno recommend`. Nothing is measured anew. Prints the path of the page.

    \b
    Example:
        dyno report run

    Exit codes: 0 written; 2 no run is there, or the page can't be written.
    """
    from modeldyno.reports.page.page import write_report

    path = write_report(run_dir, output)
    if path == STDOUT:
        return
    say("report written")
    click.echo(path)
    if open_it:
        click.launch(str(path))
