"""`dyno load-worker`."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import click

from dyno.console import say
from dyno.errors import LoadTestError

LOOK_EVERY_S = 0.2


@click.command("load-worker")
@click.argument("master")
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Processes to start here; one keeps one core busy at most.",
)
def load_worker_command(*, master: str, workers: int) -> int:
    """Send a part of a load test that another machine leads.

    That machine runs `dyno load URL --expect-workers N --master-bind HOST`; both need the same modeldyno.
    MASTER is the HOST or HOST:PORT that it listens at. It says what to send and when; this command ends with
    the test.
    """
    from loadgen.fleet import parse_address, start_worker

    host, port = parse_address(master)
    with tempfile.TemporaryDirectory(prefix="dyno-load-") as name, ExitStack() as stack:
        folders = [Path(name) / f"worker-{number}" for number in range(workers)]
        children = [stack.enter_context(start_worker(host, str(port), folder)) for folder in folders]
        say(f"{workers} worker{'s' if workers > 1 else ''} for {host}:{port}")
        while any(child.returncode() is None for child in children):
            time.sleep(LOOK_EVERY_S)
        failed = next((child for child in children if child.returncode()), None)
        if failed is not None:
            status = failed.returncode()
            raise LoadTestError(
                f"a worker for {host}:{port} ended, exit status {status}:\n{failed.log_tail()}"
            )
    return 0
