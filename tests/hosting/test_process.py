"""The process: what it keeps when it is killed, one host on a state, commands, signals."""

from __future__ import annotations

import http.client
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from tests.hosting.running import ROLE, host


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modeldyno", "host", "--port", "0", "--state", str(folder), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, env=os.environ | environment
    )


def test_what_was_answered_outlives_kill_9_and_a_state_has_one_host(tmp_path: Path) -> None:
    answered: list[int] = []
    with host(tmp_path) as first:
        second = run(tmp_path / "state")
        assert second.returncode == 2
        assert "another dyno host has this state" in second.stderr
        s3, sagemaker = first.client("s3"), first.client("sagemaker")
        s3.create_bucket(Bucket="kept")

        def write() -> None:
            for number in range(100_000):
                try:
                    s3.put_object(Bucket="kept", Key=f"k{number}", Body=str(number).encode())
                    sagemaker.create_model(
                        ModelName=f"m{number}", PrimaryContainer={"Image": "a"}, ExecutionRoleArn=ROLE
                    )
                except (HTTPClientError, ClientError):
                    return
                answered.append(number)

        writer = threading.Thread(target=write)
        writer.start()
        while len(answered) < 20 and writer.is_alive():
            writer.join(0.01)
        os.kill(first.child.pid, signal.SIGKILL)
        writer.join()
    assert len(answered) >= 20
    with host(tmp_path) as again:
        s3, sagemaker = again.client("s3"), again.client("sagemaker")
        for number in answered:
            assert s3.get_object(Bucket="kept", Key=f"k{number}")["Body"].read() == str(number).encode()
            assert sagemaker.describe_model(ModelName=f"m{number}")["ModelName"] == f"m{number}"
        rows = sum(
            len(page["Contents"]) for page in s3.get_paginator("list_objects_v2").paginate(Bucket="kept")
        )
    assert sum(each.is_file() for each in (tmp_path / "state" / "objects").rglob("*")) == rows


def test_a_command_talks_to_the_host_alone_and_gives_its_exit_code(tmp_path: Path) -> None:
    code = (
        "import boto3, os, sys; assert 'AWS_PROFILE' not in os.environ; "
        "assert 'AWS_ENDPOINT_URL_S3' not in os.environ; "
        "print(boto3.client('sts').get_caller_identity()['Account']); sys.exit(7)"
    )
    foreign = {"AWS_PROFILE": "none", "AWS_ENDPOINT_URL_S3": "http://192.0.2.1"}
    done = run(tmp_path / "state", "--account", "111122223333", "--", sys.executable, "-c", code, **foreign)
    assert (done.returncode, done.stdout.strip()) == (7, "111122223333"), done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--account", "12"), "expected 12 digits"),
        (("--", "/no/such/program"), "/no/such/program"),
    ],
)
def test_bad_input_ends_with_2(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    done = run(tmp_path / "state", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_sigterm_ends_it_and_the_block_is_for_a_shell(tmp_path: Path) -> None:
    with host(tmp_path) as started:
        started.client("s3").create_bucket(Bucket="one")
        assert started.child.stop(60) == 0
    text = started.log.read_text()
    assert f"export AWS_ENDPOINT_URL=http://127.0.0.1:{started.port}\n" in text
    assert "unset AWS_PROFILE AWS_SESSION_TOKEN" in text


def test_sigterm_lets_an_upload_finish(tmp_path: Path) -> None:
    with host(tmp_path) as started:
        started.client("s3").create_bucket(Bucket="drain")
        with socket.create_connection(("127.0.0.1", started.port), timeout=60) as connection:
            head = b"PUT /drain/key HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n"
            connection.sendall(head + b"Expect: 100-continue\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
            os.kill(started.child.pid, signal.SIGTERM)
            while _listens(started.port):
                time.sleep(0.02)
            connection.sendall(b"complete")
            answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in answer
    with host(tmp_path) as again:
        assert again.client("s3").get_object(Bucket="drain", Key="key")["Body"].read() == b"complete"


def _listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


class Zeros(io.RawIOBase):
    """So many zero bytes, without the memory for them."""

    def __init__(self, size: int) -> None:
        self._left = size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        piece = bytes(min(self._left, size if size >= 0 else self._left))
        self._left -= len(piece)
        return piece


@pytest.mark.slow
def test_a_gibibyte_goes_up_and_down_in_flat_memory(tmp_path: Path) -> None:
    size = 1024**3
    with host(tmp_path) as started:
        started.client("s3").create_bucket(Bucket="large")
        before = peak_bytes(started.child.pid)
        with closing(http.client.HTTPConnection("127.0.0.1", started.port, timeout=600)) as connection:
            connection.request("PUT", "/large/key", Zeros(size), {"Content-Length": str(size)})
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"")
            connection.request("GET", "/large/key")
            answer = connection.getresponse()
            received = 0
            while piece := answer.read(1024 * 1024):
                received += len(piece)
        assert received == size
        assert peak_bytes(started.child.pid) - before < 100 * 1024**2


def peak_bytes(pid: int) -> int:
    """The most memory that a process has held."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel tells no peak")
