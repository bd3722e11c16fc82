"""User code whose requests wait for a file, so that tests need no clock; it notes each one that is run."""

from __future__ import annotations

import json
import socket
from pathlib import Path

SCRIPT = """
import json, os, pathlib, threading, time

FOLDER = pathlib.Path(os.environ.get("GATE") or pathlib.Path(__file__).parent)

def model_fn(folder):
    return 0

def input_fn(body, content_type):
    return json.loads(body)

def predict_fn(data, model):
    with (FOLDER / "run.txt").open("a") as log:
        log.write(data["name"] + "\\n")
    while "gate" in data and not (FOLDER / data["gate"]).exists():
        time.sleep(0.005)
    if "exit" in data:
        os._exit(data["exit"])
    return {"name": data["name"]}
"""


class Gate:
    """The folder of the script, where gates are opened and notes are read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "inference.py").write_text(SCRIPT)

    def open(self, gate: str) -> None:
        (self.folder / gate).touch()

    def run(self) -> list[str]:
        """Names of the requests that were run, in order."""
        log = self.folder / "run.txt"
        return log.read_text().split() if log.exists() else []


def body(name: str, gate: str | None = None, **more: object) -> bytes:
    return json.dumps({"name": name, **({} if gate is None else {"gate": gate}), **more}).encode()


def post(content: bytes, *lines: str, length: bool = True) -> bytes:
    """A whole request as it goes over the wire."""
    size = (f"Content-Length: {len(content)}",) if length else ()
    head = ("POST /invocations HTTP/1.1", "Host: a", "Content-Type: application/json", *size, *lines)
    return "\r\n".join((*head, "", "")).encode() + content


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def received(client: socket.socket) -> bytes:
    """Everything until the server closes."""
    found = b""
    while part := client.recv(65536):
        found += part
    return found


def statuses(found: bytes) -> list[int]:
    """The status of each answer in what came."""
    return [int(part[:3]) for part in found.split(b"HTTP/1.1 ")[1:]]
