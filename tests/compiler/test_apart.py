"""A compile in a process of its own: its limits, its crashes, its interrupts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from modeldyno.base.errors import CompileError
from modeldyno.compiler import apart
from modeldyno.compiler.apart import Limits, limits_of, run_apart
from tests.compiler.models import conv_net, saved

LEAVES = """
import os, sys, time
os.mkdir(sys.argv[1] + "/../.out.half")
open(sys.argv[-1] + "/stage", "w").write("generate")
"""


def run(folder: Path, code: str, limits: Limits) -> int:
    """Run Python code that leaves half an artifact beside `out` as a compile would."""
    (folder / "x").mkdir(exist_ok=True)
    return run_apart(
        [sys.executable, "-c", LEAVES + code, str(folder / "x")], folder / "out", "net.onnx", limits
    )


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("code", "limits", "said"),
    [
        ("os.kill(os.getpid(), 11)", Limits(4000), r"crashed \(SIGSEGV\) in stage 'generate'"),
        ("os.kill(os.getpid(), 9)", Limits(4000), "was killed, most likely .* want of memory"),
        ("time.sleep(60)", Limits(4000, 1.0), "time limit of 1 s .* in stage 'generate'"),
        (
            "x = b'1' * (300 << 20); time.sleep(60)",
            Limits(150),
            r"memory limit of 150 MiB \(`memory_limit_mib`\) in stage 'generate': `fallback=onnxruntime`",
        ),
    ],
)
def test_what_ends_a_compile_is_one_error_and_nothing_is_left(
    tmp_path: Path, code: str, limits: Limits, said: str
) -> None:
    with pytest.raises(CompileError, match=said) as caught:
        run(tmp_path, code, limits)
    assert caught.value.stage == "generate"
    assert left(tmp_path) == ["x"]


def test_a_status_is_handed_on(tmp_path: Path) -> None:
    assert run(tmp_path, "sys.exit(1)", Limits(4000)) == 1


def test_sigterm_ends_the_compile_too(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, f"os.kill({os.getpid()}, 15); time.sleep(60)", Limits(4000))
    assert signal.getsignal(signal.SIGTERM) == before
    assert left(tmp_path) == ["x"]
    assert not psutil.Process().children()


def test_the_memory_limit_is_a_share_of_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "memory_limit_bytes", lambda _group: 1000 << 20)
    assert limits_of(None, None) == Limits(900)
    assert limits_of(70, 3.0) == Limits(70, 3.0)
    assert str(limits_of(None, None)) == "900 MiB of memory, no time limit"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--time-limit", "0.3"], "time limit of 0.3 s (--time-limit) while the compiler was loaded, before"),
        (["--memory-limit", "40"], "memory limit of 40 MiB (--memory-limit) while the compiler was loaded"),
    ],
)
def test_the_command_over_its_limits_exits_2_with_one_message(
    tmp_path: Path, flags: list[str], said: str
) -> None:
    net = saved(tmp_path / "net.onnx", conv_net())
    command = [sys.executable, "-m", "modeldyno", "compile", str(net), "-o", str(tmp_path / "out"), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("error: ") == 1
    assert "--fallback" not in done.stderr
    assert "Traceback" not in done.stderr
    assert left(tmp_path) == ["net.onnx"]
