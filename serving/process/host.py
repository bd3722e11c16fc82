"""A model server: bind, load, warm up, listen, and on SIGTERM finish what was accepted."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from modeldyno.base.command.console import say
from modeldyno.base.errors import ConfigError, ModelError
from modeldyno.base.files import write_text
from modeldyno.base.host.facts import usable_cores
from modeldyno.base.rowflow.records import UNPROVED, Verdict
from modeldyno.base.units import BYTES_PER_MIB
from modeldyno.serving.meters.board import Board, Row, board_alone
from modeldyno.serving.models.base import loader, model_kind
from modeldyno.serving.models.independence import verdict_of
from modeldyno.serving.settings import ServeSettings

if TYPE_CHECKING:
    from modeldyno.serving.dispatch.batching import BatchLimits
    from modeldyno.serving.dispatch.pool import WorkerPool

_BACKLOG = 2048
_M_TRIM_THRESHOLD = -1  # names and numbers of glibc's malloc.h
_M_MMAP_THRESHOLD = -3


@dataclass(frozen=True)
class Place:
    """Which of the server's worker processes this one is."""

    board: Board
    number: int = 0
    channel: socket.socket | None = None
    """Where its parent takes connections that this process lends; None without a parent."""

    @property
    def row(self) -> Row:
        """What it says of itself."""
        return self.board.rows[self.number]

    @property
    def alone(self) -> bool:
        """Whether it is the only one."""
        return len(self.board.rows) == 1


def serve(settings: ServeSettings) -> None:
    """Serve a model until SIGTERM or SIGINT. Call it from the main thread of a process of its own.

    Raises:
        ConfigError: the address can't be listened on, this machine has no such cores, or the name is no name.
        ModelError, ArtifactError: the model can't be loaded, or fails its first inference.
        ServerError: one of several processes can't be started; the message says why.
        OutputError: the port file can't be written.
    """
    _check_name(settings.model_name)
    _check_batches(settings)
    model_kind(settings.path)  # what can be told fast is told first
    pin(settings.cpus)
    with bind(settings.host, settings.port) as listener:
        if settings.processes > 1:
            from modeldyno.serving.process.supervisor import serve_processes

            serve_processes(settings, listener, lambda: _listen(settings, listener))
        else:
            serve_here(settings, listener, Place(board_alone()))
            say("stopped")


def serve_here(settings: ServeSettings, listener: socket.socket, place: Place) -> None:
    """Be one worker process, the only one or one of several, which begin when their parent lets them.

    Raises:
        ConfigError, ModelError, ArtifactError, OutputError: as `serve`.
    """
    place.row.begin(os.getpid())
    pin(settings.cpus)
    threads = settings.threads or max(1, len(usable_cores()) // settings.workers)
    # Before the model takes its memory: reading its graph takes some too.
    verdict = verdict_of(settings.path) if settings.max_batch > 1 else UNPROVED
    pool = _load(settings, threads)
    try:
        warm_up(settings.path, pool)
        _keep_freed_memory()
        _run(settings, threads, pool, listener, place, verdict=verdict)
    finally:
        pool.close()


def pin(cpus: tuple[int, ...] | None) -> None:
    """Keep this process, and the threads it will start, on these cores.

    Raises:
        ConfigError: there are no such cores here, or the system can't pin.
    """
    if cpus is None:
        return
    if not hasattr(os, "sched_setaffinity"):
        raise ConfigError(
            "`cpus` works on Linux only: this system can't pin a process to cores", field="cpus"
        )
    usable = usable_cores()
    if not cpus or set(cpus) - set(usable):
        raise ConfigError(f"`cpus` {_words(cpus)}: the usable cores are {_words(usable)}", field="cpus")
    os.sched_setaffinity(0, cpus)


def bind(host: str, port: int) -> socket.socket:
    """Take the address without listening yet: until the model is ready a client is refused, not kept waiting.

    Raises:
        ConfigError: it is taken, not allowed, or not of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"`host` {host} is no address of this machine: {error}", field="host") from error
    listener = socket.socket(family, kind, protocol)
    try:
        with _mapped_address_errors(host, port):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except ConfigError:
        listener.close()
        raise
    return listener


def warm_up(path: Path, pool: WorkerPool) -> None:
    """Run inferences on zeros in every worker: one in each shape that is compiled, or of the smallest sizes.

    A model whose free sizes have no limits may need others than 1: that is said and no error.

    Raises:
        ModelError: a model of fixed shape fails.
    """
    if model_kind(path) == "code":
        say("no warm-up: only its callers know what user code takes")
        return
    started_s = perf_counter()
    try:
        count = pool.run_on_each(lambda backend: backend.warm_up())[0]
    except Exception as error:  # a backend may raise anything, and none of it is a bug here
        message = f"{path} fails its first inference, on zeros: {error}"
        if all(None not in spec.shape or spec.limits for spec in pool.backends[0].inputs):
            raise ModelError(message) from error
        say(f"no warm-up: {message}")
        return
    each = f" in each of {count} compiled shapes" if count > 1 else ""
    say(f"first inference{each} in {(perf_counter() - started_s) * 1000:.1f} ms")


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,128}", name):
        raise ConfigError(
            f"`model_name` {name}: expected letters, digits, dots, dashes and underscores", field="model_name"
        )


def _check_batches(settings: ServeSettings) -> None:
    sizes = settings.preferred_batch
    if any(not 1 <= size <= settings.max_batch for size in sizes):
        raise ConfigError(
            f"`preferred_batch` {_words(sizes)}: expected sizes from 1 to `max_batch`, "
            f"which is {settings.max_batch}",
            field="preferred_batch",
        )


def _load(settings: ServeSettings, threads: int) -> WorkerPool:
    from modeldyno.serving.dispatch.pool import WorkerPool

    say(
        f"loading {settings.path} with workers: {settings.workers}, threads in each: {threads}, "
        f"cores: {_words(usable_cores())}"
    )
    started_s = perf_counter()
    pool = WorkerPool(loader(settings.path, threads), settings.workers)
    say(f"loaded with backend {pool.backends[0].name} in {perf_counter() - started_s:.2f} s")
    return pool


def _keep_freed_memory() -> None:
    """Let glibc keep some freed memory, to use again.

    Else every request body past 128 KiB is mapped and unmapped several times: page faults took a third of the
    time of a 600 KB request. Called after loading, so that what loading frees still goes back to the system.
    """
    with suppress(AttributeError, OSError):  # no glibc
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 32 * BYTES_PER_MIB)  # the highest that it takes
        libc.mallopt(_M_TRIM_THRESHOLD, 64 * BYTES_PER_MIB)


def _run(
    settings: ServeSettings,
    threads: int,
    pool: WorkerPool,
    listener: socket.socket,
    place: Place,
    *,
    verdict: Verdict,
) -> None:
    from modeldyno.serving.meters.metrics import Meters
    from modeldyno.serving.web.app import App
    from modeldyno.serving.web.drain import DrainingServer

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    facts = {
        "model": settings.path.name,
        "backend": pool.backends[0].name,
        "processes": str(len(place.board.rows)),
        "threads": str(threads),
        "workers": str(settings.workers),
    }
    app = App(
        pool,
        Meters(facts, place.board, place.number),
        place.board,
        place.number,
        max_body_bytes=settings.max_body_mib * BYTES_PER_MIB,
        max_waiting=settings.max_waiting,
        model_name=settings.model_name,
        timeout_s=None if settings.timeout_ms is None else settings.timeout_ms / 1000,
        batch=_batch_limits(settings, pool, verdict),
    )
    server = DrainingServer(app, place.board, place.number, settings, place.channel)
    server.handle_signals()
    if place.alone:
        _listen(settings, listener)
    server.run(sockets=[listener])
    if server.failure is not None:
        raise server.failure


def _batch_limits(settings: ServeSettings, pool: WorkerPool, verdict: Verdict) -> BatchLimits | None:
    """Return the limits of joining, or None, and say why where it was asked for."""
    from modeldyno.serving.dispatch.batch_check import Decision, decide
    from modeldyno.serving.dispatch.batching import BatchLimits

    if settings.max_batch == 1:
        return None
    if model_kind(settings.path) == "code":
        found = Decision("user code sees one request at a time")
    else:
        given = settings.rows_independent
        found = pool.run_on_each(lambda backend: decide(backend, verdict, given=given))[0]
    if found.refusal:
        say(f"no batching: {found.refusal}")
        return None
    # Backends other than an artifact know no such bound.
    rows = min(settings.max_batch, getattr(pool.backends[0], "most_rows", None) or settings.max_batch)
    if rows == 1:
        say("no batching: the artifact is compiled for exact sizes, and 2 rows are not among them")
        return None
    sizes = settings.preferred_batch or pool.backends[0].preferred_batches
    preferred = tuple(sorted(size for size in set(sizes) if size <= rows))
    words = f", best {_words(preferred)}" if preferred else ""
    say(
        f"batching: up to {rows} rows{words}, a delay of {settings.batch_delay_ms:g} ms at most; "
        f"rows are independent: {found.reason}"
    )
    return BatchLimits(rows, settings.batch_delay_ms / 1000, preferred, found.equal)


def _listen(settings: ServeSettings, listener: socket.socket) -> None:
    with _mapped_address_errors(settings.host, settings.port):
        listener.listen(_BACKLOG)
    port = listener.getsockname()[1]
    if settings.port_file is not None:
        write_text(settings.port_file, f"{port}\n")
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    say(
        f"serving http://{host}:{port} "
        "(POST /invocations; GET /ping, /metrics, /openapi.json; "
        f"Open Inference Protocol: /v2/models/{settings.model_name})"
    )


@contextmanager
def _mapped_address_errors(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port {port} on {host} is taken: stop what listens there, or take another with `port` "
                "(`port` 0 finds a free one)",
                field="port",
            ) from error
        raise ConfigError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error


def _words(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers)) or "none"
