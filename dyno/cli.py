"""The `dyno` command. Subcommands are found by entry points and imported only when asked for."""

from __future__ import annotations

import os
import signal
import sys
from importlib.metadata import EntryPoint, entry_points, version
from typing import Any, NoReturn

import click

from dyno.errors import DynoError, unknown_name

GROUP = "modeldyno.commands"
EXIT_INTERRUPTED = 130
PARENT_VARIABLE = "DYNO_PARENT_PID"

# One line each, here, so that `dyno --help` imports no room at all; a test holds them equal to the commands.
SUMMARIES = {
    "compile": "Compile an ONNX or torch.export model into an artifact folder.",
    "run": "Run one inference of an artifact and save its outputs.",
    "verify": "Compare an artifact's outputs with its source model's, again.",
    "inspect": "Show what an artifact is: signature, target, parity, digests.",
    "bundle": "Pack an artifact to run where only Python and numpy are.",
    "profile": "Show where an artifact's time goes, kernel by kernel.",
    "serve": "Serve an artifact, an ONNX model or user code over HTTP.",
    "load": "Load-test an endpoint with Locust and write a LoadResult.",
    "load-worker": "Send a part of a load test that another machine leads.",
    "recommend": "Measure a model's candidate configurations and rank them.",
    "report": "Write a run's one-file HTML report again from its records.",
    "instances": "List the instance types of the catalogue.",
    "targets": "List the compilation targets.",
    "doctor": "Say what this machine can do, and what is missing.",
}


class Commands(click.Group):
    """A click group over the entry points."""

    def _points(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=GROUP)}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Main road first, in the order of SUMMARIES; then whatever else is installed."""
        names = self._points()
        return [name for name in SUMMARIES if name in names] + sorted(names.keys() - SUMMARIES.keys())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - same
        """Import one subcommand."""
        point = self._points().get(cmd_name)
        if point is None:
            return None
        command: click.Command = point.load()
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest commands when one is unknown."""
        if args and not args[0].startswith("-") and args[0] not in self._points():
            ctx.fail(unknown_name("command", args[0], self.list_commands(ctx), hint="see dyno --help"))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """End quietly when the reader (`| head`) has gone; click would exit 1, which means "no" here."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Keep the interpreter from flushing into the closed pipe.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the summaries without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUMMARIES.get(name, "")) for name in self.list_commands(ctx)])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("modeldyno"), prog_name="dyno")
def dyno() -> None:
    """Compile models, load-test them, and find the instance type that serves them cheapest.

    Exit codes: 0 done; 1 measured, and the answer is no; 2 bad input, or nothing could be measured;
    3 measured, and not decided; 130 interrupted.
    """


def main() -> None:
    """Be the process that runs the command."""
    if PARENT_VARIABLE in os.environ:  # started by dyno.procs, which is not imported for anything else
        from dyno.procs import end_with_parent

        end_with_parent()
    _end(run())


def run() -> int:
    """Run the command of `sys.argv`; an error that the user can act on is one message. Give the exit code."""
    try:
        code = dyno.main(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _told("interrupted", EXIT_INTERRUPTED)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except DynoError as error:
        return _told(f"error: {error}", error.exit_code)
    return code if isinstance(code, int) else 0


def _told(message: str, code: int) -> int:
    click.echo(message, err=True)
    return code


def _end(code: int) -> NoReturn:
    """Exit with this code, whatever interrupts came before or come while the interpreter takes itself down.

    Work is done and children are gone by now, but taking down TVM and torch lasts most of a second: a Ctrl-C
    in it would end the process by the signal. So does CPython when an interrupt once passed through `exec` or
    `eval` of a string and was handled since: it takes its note of that back at the next such call only.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    exec("")  # noqa: S102 - takes the note back
    sys.exit(code)


if __name__ == "__main__":
    main()
