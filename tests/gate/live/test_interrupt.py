"""Ctrl-C in the middle of a gate: nothing is left running, and what was measured is kept."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.gate.live.servers import body, sleeper


def test_ctrl_c_takes_all_servers_down_and_keeps_the_blocks(tmp_path: Path) -> None:
    ours, theirs = sleeper(tmp_path / "a", 0.004), sleeper(tmp_path / "b", 0.005)
    output = tmp_path / "out"
    command = [sys.executable, "-m", "modeldyno", "gate", "--baseline", str(ours), "--candidate", str(theirs)]
    command += ["--payload", body(tmp_path), "--budget", "120s", "-o", str(output)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        blocks = output / "blocks.jsonl"
        for _ in range(600):
            if blocks.exists() and blocks.stat().st_size > 0:
                break
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.1)
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    assert blocks.read_text().endswith("}\n")
    assert not (output / "gate.json").exists()
