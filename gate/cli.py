"""`dyno gate`."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from modeldyno.base.clock import utc_now
from modeldyno.base.command.console import say
from modeldyno.base.errors import ConfigError, DynoError
from modeldyno.base.flags import flags_of
from modeldyno.gate.options import GateOptions

if TYPE_CHECKING:
    from collections.abc import Callable


@click.command("gate", short_help="Judge a change: measure a candidate against its baseline, side by side.")
@flags_of(GateOptions, "options")
def gate_command(options: GateOptions) -> int:
    """Judge a change: measure a candidate against its baseline, side by side.

    Both are served on the same cores and take turns under load, in drawn order, a moment each; the difference
    is judged by the turns. What else the machine does meets both. Without `--max-regression`, 5 % more median
    latency is a regression.

    \b
    Example:
        dyno baseline save main artifact
        dyno gate --baseline main --candidate artifact-of-this-branch --max-regression p50_ms=5%

    Exit codes: 0 pass or improvement; 1 regression; 2 bad input, or a side can't be started or dies; 3 not
    decided; 130 interrupted, 143 ended by SIGTERM. With --bisect: 0 the first bad one is named, 1 the last
    one is no regression. With --self-test: 0, 1 where it cried wolf more often than --alpha allows.
    """
    from modeldyno.gate.show.outputs import check, write_error

    check(options, as_json=options.as_json)
    _check(options)
    try:
        return _run(options)
    except DynoError as error:
        # What reads test results shall not miss a gate that could not run.
        with suppress(DynoError):
            write_error(str(error), options.candidate or options.baseline or "", utc_now(), options)
        raise


def _check(options: GateOptions) -> None:
    """See that what is asked for has what it needs.

    Raises:
        ConfigError: it has not, or two things are asked for at once.
    """
    if options.bisect is not None and options.self_test is not None:
        raise ConfigError("`bisect` and `self_test`: one at a time", field="self_test")
    for name, needed in (("baseline", options.bisect is None), ("candidate", _compares(options))):
        given = getattr(options, name) is not None
        if needed and not given:
            raise ConfigError(f"`{name}` is missing: name what is compared", field=name)
        if given and not needed:
            what = "bisect" if options.bisect else "self_test"
            raise ConfigError(f"`{name}` and `{what}`: the latter says what is compared", field=name)
    if options.bisect is None and (options.revisions or options.build):
        raise ConfigError("`revisions` and `build` are for `bisect`", field="bisect")


def _compares(options: GateOptions) -> bool:
    return options.bisect is None and options.self_test is None


def _run(options: GateOptions) -> int:
    if options.bisect is not None:
        from modeldyno.gate.bisecting import bisect_command

        return bisect_command(options, tell=say)
    if options.self_test is not None:
        from modeldyno.gate.self_test import self_test_command

        return self_test_command(options, tell=say)
    from modeldyno.gate.run import gate
    from modeldyno.gate.show.console import print_gate
    from modeldyno.gate.show.outputs import write_outputs

    assert options.baseline is not None  # noqa: S101 - checked
    assert options.candidate is not None  # noqa: S101
    tell, clear = _teller()
    try:
        record = gate(options.baseline, options.candidate, options, tell=tell)
    finally:
        clear()
    write_outputs(record, options)
    if not _prints(options):
        print_gate(record, as_json=options.as_json)
    return record.exit_code


def _prints(options: GateOptions) -> bool:
    """Whether one of the outputs goes to standard output, which then is for it alone."""
    from modeldyno.base.files import STDOUT

    files = (options.markdown, options.junit, options.html, options.github_benchmark)
    return STDOUT in (*files, options.bencher, options.openmetrics, options.sarif)


def _teller() -> tuple[Callable[[str], None], Callable[[], None]]:
    """What tells how it goes, a line each or on a terminal one that changes; and what takes that away."""
    if not sys.stderr.isatty():
        return say, lambda: None

    def tell(text: str) -> None:
        with suppress(OSError):
            click.echo(f"\r\x1b[K{text[: max(20, _columns() - 1)]}", err=True, nl=False)

    def clear() -> None:
        with suppress(OSError):
            click.echo("\r\x1b[K", err=True, nl=False)

    return tell, clear


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns
