"""`dyno load-worker`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modeldyno.base.command.console import say
from modeldyno.base.command.renamed import Renamed, RenamingCommand
from modeldyno.base.errors import LoadTestError

if TYPE_CHECKING:
    from modeldyno.base.process.procs import Child
    from modeldyno.loadgen.signals import Interrupts

LOOK_EVERY_S = 0.2
TELL_EVERY_S = 10.0


@click.command("load-worker", cls=RenamingCommand)
@click.argument("master")
@click.option(
    "--load-workers",
    "workers",
    cls=Renamed,
    old="--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Processes to start here; one keeps one core busy at most.",
)
@click.option(
    "--connect-timeout",
    "connect_s",
    type=click.FloatRange(1, 3600),
    default=60.0,
    show_default=True,
    help="Seconds to wait until the load test takes them.",
)
def load_worker_command(*, master: str, workers: int, connect_s: float) -> int:
    """Send a part of a load test that another machine leads.

    That machine runs `dyno load URL --expect-workers N --master-bind HOST`; both need the same modeldyno.
    MASTER is the HOST or HOST:PORT that it listens at. It says what to send and when; this command ends with
    the test.

    \b
    Example:
        dyno load-worker 10.0.0.5 --load-workers 4

    Exit codes: 0 the test is over; 2 no load test took the workers, or one of them failed; 130 and 143 ended
    by a signal.
    """
    from modeldyno.loadgen.generator.fleet import parse_address, start_worker
    from modeldyno.loadgen.signals import Interrupts

    host, port = parse_address(master)
    with (
        Interrupts() as interrupts,
        tempfile.TemporaryDirectory(prefix="dyno-load-") as name,
        ExitStack() as stack,
    ):
        folders = [Path(name) / f"worker-{number}" for number in range(workers)]
        children = [stack.enter_context(start_worker(host, str(port), folder)) for folder in folders]
        say(f"{workers} worker{'s' if workers > 1 else ''} for {host}:{port}")
        _wait_until_taken(folders, children, f"{host}:{port}", connect_s, interrupts)
        while any(child.returncode() is None for child in children) and not interrupts.by:
            time.sleep(LOOK_EVERY_S)
        if interrupts.by:
            say(interrupts.last_words)
            return interrupts.exit_code
        failed = next((child for child in children if child.returncode()), None)
        if failed is not None:
            status = failed.returncode()
            raise LoadTestError(
                f"a worker for {host}:{port} ended, exit status {status}:\n{failed.log_tail()}"
            )
    return 0


def _wait_until_taken(
    folders: Sequence[Path],
    children: Sequence[Child],
    address: str,
    within_s: float,
    interrupts: Interrupts,
) -> None:
    """Return when a load test has taken all workers, or one of them has ended, or an interrupt came.

    Raises:
        LoadTestError: it has not in this time.
    """
    from modeldyno.loadgen.generator.run_plan import JOINED_FILE

    began_s = told_s = time.monotonic()
    while not interrupts.by and all(child.returncode() is None for child in children):
        missing = sum(not (folder / JOINED_FILE).exists() for folder in folders)
        if not missing:
            return
        waited_s = time.monotonic() - began_s
        if waited_s > within_s:
            raise LoadTestError(
                f"no load test at {address} took {missing} of {len(folders)} workers within {within_s:g} s: "
                f"see whether `dyno load URL --expect-workers N --master-bind {address}` runs there and can "
                "be reached from here, or give it longer by --connect-timeout"
            )
        if time.monotonic() - told_s >= TELL_EVERY_S:
            told_s = time.monotonic()
            say(f"waiting for a load test at {address}: {waited_s:.0f} of {within_s:g} s")
        time.sleep(LOOK_EVERY_S)
