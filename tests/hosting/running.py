"""A real `dyno host`, and an application without a process."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from modeldyno.base.process.procs import python_module, start
from modeldyno.hosting.application import Application
from modeldyno.hosting.objects.files import Files
from modeldyno.hosting.state.database import Database
from modeldyno.hosting.wire.messages import Head, Sink, query_of

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/any"


@dataclass(frozen=True)
class Host:
    """A running host."""

    port: int
    child: Any
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, name: str, region: str = "us-east-1", **config: Any) -> Any:
        return boto3.client(
            name,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 - no secret
            config=Config(retries={"total_max_attempts": 1}, **config),
        )


@contextmanager
def host(folder: Path, *arguments: str) -> Iterator[Host]:
    """Start a host whose state is in `folder`."""
    port_file = folder / "port"
    port_file.unlink(missing_ok=True)
    own = ("--port", "0", "--port-file", str(port_file), "--state", str(folder / "state"))
    with start(python_module("modeldyno", "host", *own, *arguments), log=folder / "log") as child:
        for _ in range(1200):
            if port_file.exists():
                break
            assert child.returncode() is None, (folder / "log").read_text()
            time.sleep(0.05)
        yield Host(int(port_file.read_text()), child, folder / "log")


@contextmanager
def application(folder: Path) -> Iterator[Application]:
    """An application, called as the server calls it."""
    database = Database(folder)
    yield Application(database, Files(folder / "objects"), ACCOUNT)
    database.close()


def ask(
    app: Application,
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> tuple[int, Mapping[str, str], bytes]:
    """Ask an application: status, headers, body."""
    path, _, query = target.partition("?")
    head = Head(method, path, query_of(query), {"host": "127.0.0.1", **(headers or {})}, "id")
    sink: Sink | None = None
    try:
        sink = app.begin(head)
        sink.write(body)
        answer = sink.finish()
    except Exception as error:
        if sink is not None:
            sink.abort()
        answer = app.refuse(head, error)
    content = answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)
    return answer.status, answer.headers, content
