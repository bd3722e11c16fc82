"""One server process: loads its models, runs them, answers, and on SIGTERM finishes what was accepted."""

from __future__ import annotations

import ctypes
import logging
import os
import socket
from contextlib import suppress

from modeldyno.base.command.console import harmless
from modeldyno.base.host.facts import usable_cores
from modeldyno.base.units import BYTES_PER_MIB
from modeldyno.serving.dispatch.shelf import Shelf
from modeldyno.serving.meters.board import Member
from modeldyno.serving.meters.metrics import Meters
from modeldyno.serving.process.listening import listen
from modeldyno.serving.process.loading import load_shelf
from modeldyno.serving.process.shares import pin
from modeldyno.serving.protocols.base import WireProtocol
from modeldyno.serving.protocols.invocations import Invocations
from modeldyno.serving.protocols.open_inference import OpenInference
from modeldyno.serving.protocols.sagemaker_runtime import SageMakerRuntime
from modeldyno.serving.settings import ServeSettings
from modeldyno.serving.web.app import App
from modeldyno.serving.web.drain import DrainingServer

PROTOCOLS: tuple[WireProtocol, ...] = (Invocations(), OpenInference(), SageMakerRuntime())
_M_TRIM_THRESHOLD = -1  # names and numbers of glibc's malloc.h
_M_MMAP_THRESHOLD = -3


def serve_here(
    settings: ServeSettings, listener: socket.socket, member: Member, channel: socket.socket | None = None
) -> None:
    """Be one worker process, the only one or one of several, which begin when their parent lets them.

    Over `channel` connections are lent to the parent, where there is one.

    Raises:
        ConfigError, ModelError, ArtifactError, OutputError, ServerError: as `server.serve`.
    """
    member.row.begin(os.getpid())
    pin(settings.cpus)
    threads = settings.threads or max(1, len(usable_cores()) // settings.workers)
    meters = Meters(member)
    shelf = load_shelf(settings, threads, meters, member)
    try:
        _keep_freed_memory()
        _run(settings, shelf, listener, meters=meters, member=member, channel=channel)
    finally:
        shelf.close()


def _keep_freed_memory() -> None:
    """Let glibc keep some freed memory, to use again.

    Else every request body past 128 KiB is mapped and unmapped several times: page faults took a third of the
    time of a 600 KB request. Called after loading, so that what loading frees still goes back to the system.
    """
    with suppress(AttributeError, OSError):  # no glibc
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 32 * BYTES_PER_MIB)  # the highest that it takes
        libc.mallopt(_M_TRIM_THRESHOLD, 64 * BYTES_PER_MIB)


class _Harmless(logging.Formatter):
    """What clients sent may stand in messages and in tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        return harmless(super().format(record))


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Harmless("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _run(
    settings: ServeSettings,
    shelf: Shelf,
    listener: socket.socket,
    *,
    meters: Meters,
    member: Member,
    channel: socket.socket | None,
) -> None:
    _log_to_stderr()
    app = App(shelf, PROTOCOLS, meters, member)
    server = DrainingServer(app, member, settings, channel)
    server.handle_signals()
    if member.alone:
        listen(settings, listener)
    server.run(sockets=[listener])
    if server.failure is not None:
        raise server.failure
