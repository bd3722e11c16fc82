"""`-o` leaves devices, pipes and links what they are: only files and our own folders are replaced."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from modeldyno.base.process.procs import python_module
from tests.loadgen.stub import Running, stub_server


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with stub_server(tmp_path_factory.mktemp("stub")) as found:
        yield found


def load(stub: Running, output: Path, folder: Path) -> None:
    body = folder / "body.json"
    body.write_text("{}")
    flags = ("--payload", str(body), "--warmup", "0", "--duration", "0.5", "-o", str(output))
    command = python_module("modeldyno", "load", stub.url, *flags)
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def test_a_device_stays_a_device(stub: Running, tmp_path: Path) -> None:
    node = tmp_path / "null"
    try:
        os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes device nodes")
    load(stub, node, tmp_path)
    assert stat.S_ISCHR(node.stat().st_mode)


def test_a_link_stays_and_the_file_behind_it_has_the_result(stub: Running, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to("real.json")
    load(stub, link, tmp_path)
    assert link.is_symlink()
    assert json.loads((tmp_path / "real.json").read_text())["samples"] > 0


def test_the_reader_of_a_pipe_gets_the_result(stub: Running, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["/bin/cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        load(stub, pipe, tmp_path)
        result = json.loads(reader.communicate(timeout=60)[0])
    assert result["samples"] > 0
    assert pipe.is_fifo()
