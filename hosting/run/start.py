"""One host: open the state, listen, run a command or wait for a signal, drain, close."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import uvloop

from modeldyno.base.errors import ConfigError
from modeldyno.base.files import write_text
from modeldyno.hosting.application import Application
from modeldyno.hosting.objects.call import Place
from modeldyno.hosting.objects.files import Files
from modeldyno.hosting.objects.service import sweep
from modeldyno.hosting.run.environment import block, child
from modeldyno.hosting.server.connection import Connection, Shared
from modeldyno.hosting.settings import HostSettings
from modeldyno.hosting.state.database import Database

ADDRESS = "127.0.0.1"
DRAIN_S = 30.0
THREADS = 16
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def host(settings: HostSettings, command: Sequence[str]) -> int:
    """Run a host until a signal, or as long as a command runs; gives the exit code.

    Raises ConfigError where the port is taken, the state is another host's, or the command can't be started.
    """
    database = Database(settings.state)
    try:
        files = Files(settings.state / "objects")
        sweep(Place(database, files, settings.account))
        application = Application(database, files, settings.account)
        with (
            ThreadPoolExecutor(THREADS, "host") as threads,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            return runner.run(_run(settings, Shared(application, threads), command))
    finally:
        database.close()


async def _run(settings: HostSettings, shared: Shared, command: Sequence[str]) -> int:
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(lambda: Connection(shared), ADDRESS, settings.port, backlog=1024)
    except OSError as error:
        raise ConfigError(f"port {settings.port}: {error.strerror or error}", field="port") from error
    port = server.sockets[0].getsockname()[1]
    try:
        if settings.port_file is not None:
            write_text(settings.port_file, f"{port}\n")
        return await (_command(command, port) if command else _wait(port))
    finally:
        server.close()
        await _drained(shared)


async def _wait(port: int) -> int:
    ended = asyncio.Event()
    with _signals(lambda _number: ended.set()):
        sys.stdout.write(block(port, os.environ))
        sys.stdout.flush()
        await ended.wait()
    return 0


async def _command(command: Sequence[str], port: int) -> int:
    """Run a command with the environment; gives its exit code, 128 + n where signal n ended it."""
    try:
        process = await asyncio.create_subprocess_exec(*command, env=child(port, os.environ))
    except OSError as error:
        raise ConfigError(f"{command[0]}: {error.strerror}", hint="name a program after `--`") from error

    def passed_on(number: int) -> None:
        with suppress(ProcessLookupError):
            process.send_signal(number)

    with _signals(passed_on):
        code = await process.wait()
    return code if code >= 0 else 128 - code


@contextmanager
def _signals(handler: Callable[[int], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for each in SIGNALS:
        loop.add_signal_handler(each, handler, each)
    try:
        yield
    finally:
        for each in SIGNALS:
            loop.add_signal_handler(each, lambda: None)  # draining has begun; it has an end of its own


async def _drained(shared: Shared) -> None:
    """Let what was asked be answered, for a while; then close."""
    shared.draining = True
    for connection in list(shared.connections):
        connection.drain()
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            while shared.connections:
                await asyncio.sleep(0.02)
