"""The `dyno` command. Subcommands are found by entry points and imported only when asked for."""

from __future__ import annotations

import os
import sys
from importlib.metadata import EntryPoint, entry_points, version
from typing import Any

import click

from dyno.errors import DynoError, unknown_name

GROUP = "modeldyno.commands"
EXIT_INTERRUPTED = 130
PARENT_VARIABLE = "DYNO_PARENT_PID"

# One line each, here, so that `dyno --help` imports no room at all; a test holds them equal to the commands.
SUMMARIES = {
    "compile": "Compile an ONNX or torch.export model into an artifact folder.",
    "run": "Run one inference of an artifact and save its outputs.",
    "profile": "Show where an artifact's time goes, kernel by kernel.",
    "serve": "Serve an artifact or an ONNX model over HTTP.",
    "load": "Load-test an endpoint with Locust and write a LoadResult.",
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
    130 interrupted.
    """


def main() -> None:
    """Run the command; print an error that the user can act on as one message."""
    if PARENT_VARIABLE in os.environ:  # started by dyno.procs, which is not imported for anything else
        from dyno.procs import end_with_parent

        end_with_parent()
    try:
        code = dyno.main(standalone_mode=False)
    except click.exceptions.Abort:
        _leave("interrupted", EXIT_INTERRUPTED)
    except KeyboardInterrupt:
        _leave("interrupted", EXIT_INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except DynoError as error:
        _leave(f"error: {error}", error.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def _leave(message: str, code: int) -> None:
    click.echo(message, err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
