"""A search for the rate on servers of known capacity, which its own tests overload or its host disturbs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from modeldyno.base.records.load import RateSearch
from modeldyno.base.records.record import read_record
from tests.loadgen.stub import stub_server

pytestmark = pytest.mark.slow


def search(folder: Path, url: str, *args: str) -> list[str]:
    """Write down what is sent; give the command of a search with constant arrivals."""
    (folder / "body.json").write_text("{}")
    payload = ("--payload", str(folder / "body.json"), "-o", str(folder / "search.json"))
    return [
        sys.executable,
        "-m",
        "modeldyno",
        "load",
        url,
        "--find-rate",
        "--arrival",
        "constant",
        *payload,
        *args,
    ]


def test_a_rate_below_the_capacity_meets_the_limit_after_a_test_that_overloaded_the_server(
    tmp_path: Path,
) -> None:
    # One request at a time takes 50 ms: 20 a second are the most.
    with stub_server(tmp_path, "--service-ms", "50", "--one-at-a-time") as server:
        command = search(tmp_path, server.url, "--rate", "16", "--limit", "p90_ms=200", "--duration", "5")
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    found = read_record(tmp_path / "search.json", RateSearch)
    assert found.met_rps is not None, done.stderr
    # Behind 32 and 24, which overload it, the queue is gone: 18 meets the limit as it does alone.
    assert {16, 32, 24, 20} <= {step.rate_rps for step in found.steps}
    assert 17 <= found.met_rps < 22
    assert done.returncode == (3 if found.undecided else 0)


@contextmanager
def disturbed(parent: int, seconds: float) -> Iterator[None]:
    """Stop the generator for 20 of every 100 ms, as a busy host does it."""

    def disturb() -> None:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            with suppress(psutil.NoSuchProcess):
                for child in psutil.Process(parent).children():
                    with suppress(ProcessLookupError):
                        os.kill(child.pid, signal.SIGSTOP)
                        time.sleep(0.02)
                        os.kill(child.pid, signal.SIGCONT)
            time.sleep(0.08)

    thread = threading.Thread(target=disturb)
    thread.start()
    yield
    thread.join()


def test_a_test_that_the_generator_spoiled_is_no_missed_limit(tmp_path: Path) -> None:
    # 10 ms each: some 95 a second are the most. The disturbance ends with the first test.
    with stub_server(tmp_path, "--service-ms", "10", "--one-at-a-time") as server:
        options = ("--limit", "p90_ms=50", "--duration", "5", "--warmup", "1", "--precision", "0.2")
        command = search(tmp_path, server.url, "--rate", "40", *options)
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
            disturbed(process.pid, 9.0),
        ):
            told = process.communicate(timeout=600)[1]
    found = read_record(tmp_path / "search.json", RateSearch)
    assert found.steps[0].rate_rps == found.steps[1].rate_rps == 40
    assert found.steps[0].void
    assert not any(step.rate_rps == 40 and not step.met and not step.void for step in found.steps), told
    assert found.met_rps is not None
    assert found.met_rps >= 40
    assert process.returncode == (3 if found.undecided else 0)
