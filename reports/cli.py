"""`dyno report`: the HTML page again, from a run's saved records."""

from __future__ import annotations

from pathlib import Path

import click

from modeldyno.base.command.console import say
from modeldyno.base.command.outputs import OutputFile
from modeldyno.base.errors import ConfigError
from modeldyno.base.files import STDOUT


@click.command("report", short_help="Write a run's one-file HTML report again from its records.")
@click.argument("run_dirs", metavar="RUN_DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--output",
    "-o",
    type=OutputFile(),
    help="File to write, - for stdout; default RUN_DIR/report.html. Several runs need it.",
)
@click.option(
    "--open",
    "open_it",
    type=click.BOOL,
    default=False,
    metavar="yes|no",
    help="Show the page in the web browser afterwards; default no.",
)
def report_command(run_dirs: tuple[Path, ...], output: Path | None, open_it: bool) -> None:
    """Write a run's one-file HTML report again from its records.

    RUN_DIR is the --output folder of `dyno recommend`. Nothing is measured anew. Prints the path of the page.
    Several runs stand side by side on one page, with what differs between their conditions.

    \b
    Examples:
        dyno report run
        dyno report monday tuesday -o both.html

    Exit codes: 0 written; 2 no run is there, or the page can't be written.
    """
    path = _write(run_dirs, output)
    if path == STDOUT:
        return
    say("report written")
    click.echo(path)
    if open_it:
        click.launch(str(path))


def _write(run_dirs: tuple[Path, ...], output: Path | None) -> Path:
    from modeldyno.reports.page.page import write_report
    from modeldyno.reports.page.runs import write_runs

    if len(run_dirs) == 1:
        return write_report(run_dirs[0], output)
    if output is None:
        raise ConfigError("several runs make a page of their own: say where with --output FILE")
    return write_runs(run_dirs, output)
