"""The server's address: taken first, listened on once everything is ready."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from modeldyno.base.command.console import say
from modeldyno.base.errors import ConfigError
from modeldyno.base.files import write_text
from modeldyno.serving.settings import ServeSettings

_BACKLOG = 2048


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


def listen(settings: ServeSettings, listener: socket.socket) -> None:
    """Listen, and tell where: in the port file and on the console.

    Raises:
        ConfigError: the address is taken meanwhile. OutputError: the port file can't be written.
    """
    with _mapped_address_errors(settings.host, settings.port):
        listener.listen(_BACKLOG)
    port = listener.getsockname()[1]
    if settings.port_file is not None:
        write_text(settings.port_file, f"{port}\n")
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    names = [model.name for model in settings.models]
    models = ", ".join(f"/v2/models/{name}" for name in names)
    endpoints = ", ".join(f"/endpoints/{name}/invocations" for name in names)
    say(
        f"serving http://{host}:{port} "
        "(POST /invocations; GET /ping, /metrics, /openapi.json; "
        f"Open Inference Protocol: {models}; boto3's sagemaker-runtime: {endpoints})"
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
