"""Children end when they are told to, and when their parent is gone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from dyno.procs import PARENT_VARIABLE, free_port, python_module, start

DEADLINE_S = 10.0


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def wait_for(condition: Callable[[], object]) -> bool:
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def gone(pid: int) -> bool:
    """Ended; a zombie that nobody has waited for yet has ended too."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def test_what_a_child_writes_to_stdout_and_stderr_is_in_its_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "child.log"
    code = "import sys; print('out', flush=True); print('err', file=sys.stderr)"
    with start(python(code), log=log) as child:
        child.process.wait(DEADLINE_S)
        assert child.returncode() == 0
        assert child.log_tail() == "out\nerr"
        assert child.log_tail(lines=1) == "err"


def test_the_environment_is_passed_on_and_added_to(tmp_path: Path) -> None:
    code = f"import os; print(os.environ['SHADE'], os.environ['{PARENT_VARIABLE}'], 'PATH' in os.environ)"
    with start(python(code), log=tmp_path / "log", env={"SHADE": "blue"}) as child:
        child.process.wait(DEADLINE_S)
        assert child.log_tail() == f"blue {os.getpid()} True"


def test_leaving_the_block_ends_the_child_with_sigterm(tmp_path: Path) -> None:
    with start(["sleep", "60"], log=tmp_path / "log") as child:
        assert child.returncode() is None
    assert child.returncode() == -signal.SIGTERM


def test_a_child_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('deaf', flush=True); time.sleep(60)"
    )
    with start(python(code), log=tmp_path / "log") as child:
        assert wait_for(lambda: child.log_tail() == "deaf")
        assert child.stop(grace_s=0.2) == -signal.SIGKILL


def test_grandchildren_end_with_the_child(tmp_path: Path) -> None:
    code = "import subprocess; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"
    with start(python(code), log=tmp_path / "log") as child:
        assert wait_for(child.log_tail)
        grandchild = int(child.log_tail())
        assert not gone(grandchild)
    assert wait_for(lambda: gone(grandchild))


def test_a_grandchild_that_ignores_sigterm_ends_with_the_child_too(tmp_path: Path) -> None:
    deaf = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print(os.getpid(), flush=True); time.sleep(60)"
    )
    code = f"import subprocess, sys; subprocess.call([sys.executable, '-c', {deaf!r}])"
    with start(python(code), log=tmp_path / "log") as child:
        assert wait_for(child.log_tail)
        grandchild = int(child.log_tail())
    assert wait_for(lambda: gone(grandchild))


def test_a_child_that_asked_for_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    child_code = (
        "import time; from dyno.procs import end_with_parent; end_with_parent(); "
        "print('tied', flush=True); time.sleep(60)"
    )
    parent_code = (
        "import sys, time; from pathlib import Path; from dyno.procs import start\n"
        f"child = start([sys.executable, '-c', {child_code!r}], log=Path(sys.argv[1]))\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    log = tmp_path / "log"
    with subprocess.Popen([*python(parent_code), str(log)], stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            assert wait_for(lambda: log.read_text() == "tied\n")
            assert not gone(pid)
        finally:
            parent.kill()
    assert wait_for(lambda: gone(pid))


def test_a_child_whose_parent_died_before_it_asked_ends_at_once() -> None:
    code = "from dyno.procs import end_with_parent; end_with_parent(); print('still here')"
    # No process has this number, so the parent that the variable names is not the one there is.
    done = subprocess.run(
        python(code), env={**os.environ, PARENT_VARIABLE: "999999999"}, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGTERM
    assert done.stdout == b""


def test_a_process_that_was_not_started_by_us_is_left_alone() -> None:
    environment = {name: value for name, value in os.environ.items() if name != PARENT_VARIABLE}
    code = "from dyno.procs import end_with_parent; end_with_parent(); print('still here')"
    done = subprocess.run(python(code), env=environment, capture_output=True, check=True)
    assert done.stdout == b"still here\n"


def test_python_module_runs_with_this_interpreter() -> None:
    assert python_module("dyno", "serve", "--port", "0") == [
        sys.executable,
        "-m",
        "dyno",
        "serve",
        "--port",
        "0",
    ]


def test_a_free_port_can_be_listened_on() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        assert server.getsockname()[1] > 0
