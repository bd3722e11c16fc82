"""The process: what it keeps when it is killed, one host on a state, commands, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
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
