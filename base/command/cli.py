"""The `dyno` command. Subcommands are found by entry points and imported only when asked for."""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import EntryPoint, entry_points, version
from typing import Any, NoReturn, TextIO

import click
from click.shell_completion import CompletionItem

from modeldyno.base.command.console import harmless
from modeldyno.base.command.wording import message_of
from modeldyno.base.errors import DynoError, unknown_name
from modeldyno.base.exit_codes import INTERRUPTED, MEANINGS, NOT_MEASURED, TERMINATED

GROUP = "modeldyno.commands"
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
    "host": "Answer the API of SageMaker and S3 on this machine.",
    "load": "Load-test an endpoint with Locust and write a LoadResult.",
    "load-worker": "Send a part of a load test that another machine leads.",
    "recommend": "Measure a model's candidate configurations and rank them.",
    "gate": "Judge a change: a candidate against its baseline, in turns.",
    "report": "Write a run's one-file HTML report again from its records.",
    "baseline": "Keep what a gate compares with, by name.",
    "instances": "List the instance types of the catalogue.",
    "targets": "List the compilation targets.",
    "docs": "Show a page of the documentation, or list the pages.",
    "doctor": "Say what this machine can do, and what is missing.",
}


class Commands(click.Group):
    """A click group over the entry points."""

    def _points(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=GROUP)}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The main commands first, in the order of SUMMARIES; then whatever else is installed."""
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
        """Say an error in the words of the command that it came from.

        End quietly when the reader (`| head`) has gone; click would exit 1, which means "no" here.
        """
        try:
            return super().invoke(ctx)
        except DynoError as error:
            command = self.get_command(ctx, ctx.invoked_subcommand or "")
            return _told(f"error: {message_of(error, command)}", error.exit_code)
        except BrokenPipeError:
            if not _is_broken(sys.stdout):
                raise  # of something else, e.g. a connection
            return 0

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer the commands without importing them."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        offered = [CompletionItem(name, help=SUMMARIES.get(name)) for name in names]
        return offered or click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the summaries without importing the commands, then the exit codes."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUMMARIES.get(name, "")) for name in self.list_commands(ctx)])
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in MEANINGS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("modeldyno"), prog_name="dyno")
def dyno() -> None:
    """Compile models, load-test them, and find the instance type that serves them cheapest.

    \b
    Example:
        dyno recommend model.onnx -o run
        dyno docs commands

    Completion of commands, options and names in bash (zsh_source and fish_source for those):
    eval "$(_DYNO_COMPLETE=bash_source dyno)"
    """


def main() -> None:
    """Be the process that runs the command."""
    if PARENT_VARIABLE in os.environ:  # started by dyno.procs, which is not imported for anything else
        from modeldyno.base.process.procs import end_with_parent

        end_with_parent()
    sys.stdout = _closed() if sys.stdout is None else _Watched.of(sys.stdout)
    try:
        code = run()
    except Exception:  # a bug: Python's own exit code for it would say that the answer is no
        with suppress(OSError):
            click.echo(harmless(traceback.format_exc()).rstrip(), err=True)
        code = NOT_MEASURED
    _end(code)


def run() -> int:
    """Run the command of `sys.argv`; an error that the user can act on is one message. Give the exit code."""
    try:
        code = dyno.main(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except (click.exceptions.Abort, KeyboardInterrupt) as error:
        return _interrupted(error)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except OSError as error:
        if not _is_broken(sys.stdout):
            raise
        if isinstance(error, BrokenPipeError):
            return 0
        return _told(f"error: cannot write to stdout: {error.strerror or error}", NOT_MEASURED)
    return code if isinstance(code, int) else 0


def _interrupted(error: BaseException) -> int:
    """Say what the command was ended by; click wraps an interrupt into an error of its own."""
    from modeldyno.base.process.interrupts import Terminated

    if isinstance(error, Terminated) or isinstance(error.__cause__, Terminated):
        return _told("terminated", TERMINATED)
    return _told("interrupted", INTERRUPTED)


def _told(message: str, code: int) -> int:
    with suppress(OSError):
        click.echo(harmless(message), err=True)
    return code


class _Watched(io.TextIOWrapper):
    """Stdout that remembers that it could not be written to: nothing of that may be left in its buffers."""

    failed = False

    @classmethod
    def of(cls, stream: TextIO) -> TextIO:
        """Take the place of a stream."""
        if not isinstance(stream, io.TextIOWrapper):
            return stream
        return cls(
            stream.buffer,
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )

    def write(self, text: str, /) -> int:
        """Write as ever, but for what a terminal would obey; gives the length of what it was given."""
        with self._watched():
            super().write(harmless(text, coloured=True))
            return len(text)

    def flush(self) -> None:
        """Flush as ever."""
        with self._watched():
            super().flush()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self.failed = True
            raise


def _closed() -> TextIO:
    """Stand for a stdout that was closed before the start: whoever writes to it hears so.

    Number 1 is taken, so that no file or connection gets it, into which results would then be printed.
    """
    number = os.open(os.devnull, os.O_RDONLY)
    return _Watched(io.BufferedWriter(io.FileIO(number, "w")), encoding="utf-8")


def _is_broken(stream: TextIO | None) -> bool:
    """Whether what was written to a stream can't leave; if so, have the interpreter not try it at its end."""
    if stream is None:
        return False
    failed = getattr(stream, "failed", False)
    try:
        stream.flush()
    except OSError:
        failed = True
    if failed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return failed


def _end(code: int) -> NoReturn:
    """Exit with this code, whatever interrupts came before or come while the interpreter takes itself down.

    Work is done and children are gone by now, but taking down TVM and torch lasts most of a second: a Ctrl-C
    in it would end the process by the signal. So does CPython when an interrupt once passed through `exec` or
    `eval` of a string and was handled since: it takes its note of that back at the next such call only.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _is_broken(sys.stderr)
    exec("")  # noqa: S102 - takes the note back
    sys.exit(code)


if __name__ == "__main__":
    main()
