"""Start the stub server, and load it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modeldyno.base.process.procs import start
from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.payloads.body import Payload
from modeldyno.loadgen.run import run_load

PAYLOAD = Payload(b"12345678", "application/octet-stream")
SERVER = Path(__file__).parent / "stub_server.py"


@dataclass(frozen=True)
class Running:
    url: str
    pid: int


@contextmanager
def stub_server(folder: Path, *args: str) -> Iterator[Running]:
    port_file = folder / "port"
    with start([sys.executable, str(SERVER), str(port_file), *args], log=folder / "server.log") as child:
        for _ in range(200):
            if port_file.exists():
                break
            assert child.returncode() is None, child.log_tail()
            time.sleep(0.05)
        yield Running(f"http://127.0.0.1:{port_file.read_text()}/invocations", child.pid)


def load(server: Running, **fields: float) -> LoadResult:
    return run_load(LoadSpec.model_validate({"url": server.url, **fields}), PAYLOAD)
