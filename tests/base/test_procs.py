"""Children end when they are told to, and when their parent is gone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from modeldyno.base.process.procs import PARENT_VARIABLE, free_port, python_module, start, stop_all

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
    assert gone(grandchild)


def test_a_grandchild_that_ignores_sigterm_ends_with_the_child_too(tmp_path: Path) -> None:
    deaf = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print(os.getpid(), flush=True); time.sleep(60)"
    )
    code = f"import subprocess, sys; subprocess.call([sys.executable, '-c', {deaf!r}])"
    with start(python(code), log=tmp_path / "log") as child:
        assert wait_for(child.log_tail)
        grandchild = int(child.log_tail())
    assert gone(grandchild)


def test_stop_returns_when_a_grandchild_that_takes_long_to_die_is_gone(tmp_path: Path) -> None:
    large = "import os, time; held = b'x' * (192 << 20); print(os.getpid(), flush=True); time.sleep(60)"
    code = f"import subprocess, sys; subprocess.call([sys.executable, '-c', {large!r}])"
    with start(python(code), log=tmp_path / "log") as child:
        assert wait_for(child.log_tail)
        grandchild = int(child.log_tail())
    assert gone(grandchild)


def test_stop_does_not_wait_for_a_zombie_that_nobody_waits_for(tmp_path: Path) -> None:
    parent = (
        "import subprocess, time; p = subprocess.Popen(['sleep', '60']); "
        "print(p.pid, flush=True); time.sleep(60)"
    )
    code = f"""if True:
        import ctypes, sys, time
        from pathlib import Path
        from modeldyno.base.process.procs import start
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans come here
        child = start([sys.executable, "-c", {parent!r}], log=Path(sys.argv[1]))
        while not child.log_tail():
            time.sleep(0.02)
        began = time.monotonic()
        child.stop()
        state = Path("/proc", child.log_tail(), "stat").read_text().rpartition(")")[2].split()[0]
        print(state, time.monotonic() - began < 2)
    """
    done = subprocess.run([*python(code), str(tmp_path / "log")], capture_output=True, text=True, check=True)
    assert done.stdout == "Z True\n"


@contextmanager
def raising(number: signal.Signals) -> Iterator[None]:
    before = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        assert signal.getsignal(number) is signal.default_int_handler
        signal.signal(number, before)


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_between_fork_and_return_leaves_a_child_that_stop_all_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, args: list[str], **options: object) -> None:
            super().__init__(args, **options)  # type: ignore[call-overload]
            os.kill(os.getpid(), number)
            time.sleep(0.01)  # the handler runs here at the latest

    before = children()
    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with raising(number), pytest.raises(KeyboardInterrupt):
        start(["sleep", "60"], log=tmp_path / "log")
    assert len(children()) == len(before) + 1  # a real one was started
    stop_all()
    assert children() == before


def test_an_interrupt_that_cuts_a_stop_short_leaves_the_rest_to_stop_all(tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('deaf', flush=True); time.sleep(60)"
    )
    before = children()
    child = start(python(deaf), log=tmp_path / "log")
    assert wait_for(child.log_tail)
    with raising(signal.SIGALRM):
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            child.stop()
    stop_all()
    assert children() == before


def test_leaving_the_interpreter_ends_what_was_not_stopped(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from modeldyno.base.process.procs import start\n"
        "print(start(['sleep', '60'], log=Path(sys.argv[1])).pid)"
    )
    done = subprocess.run([*python(code), str(tmp_path / "log")], capture_output=True, text=True, check=True)
    assert gone(int(done.stdout))


def test_a_fork_leaves_the_children_of_its_parent_alone(tmp_path: Path) -> None:
    code = """if True:
        import os, sys
        from pathlib import Path
        from modeldyno.base.process.procs import start
        with start(["sleep", "60"], log=Path(sys.argv[1])) as child:
            if (pid := os.fork()) == 0:
                sys.exit(0)  # runs what is registered for the end of the interpreter
            os.waitpid(pid, 0)
            print(child.returncode())
    """
    done = subprocess.run([*python(code), str(tmp_path / "log")], capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"


def test_a_child_inherits_that_a_signal_is_ignored(tmp_path: Path) -> None:
    code = "import signal; print(signal.getsignal(signal.SIGINT).name, signal.getsignal(signal.SIGTERM).name)"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with raising(signal.SIGTERM), start(python(code), log=tmp_path / "log") as child:
            child.process.wait(DEADLINE_S)
            assert child.log_tail() == "SIG_IGN SIG_DFL"
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_child_that_asked_for_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    child_code = (
        "import time; from modeldyno.base.process.procs import end_with_parent; end_with_parent(); "
        "print('tied', flush=True); time.sleep(60)"
    )
    parent_code = (
        "import sys, time; from pathlib import Path; from modeldyno.base.process.procs import start\n"
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
    code = "from modeldyno.base.process.procs import end_with_parent; end_with_parent(); print('still here')"
    # No process has this number, so the parent that the variable names is not the one there is.
    done = subprocess.run(
        python(code), env={**os.environ, PARENT_VARIABLE: "999999999"}, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGTERM
    assert done.stdout == b""


def test_a_process_that_was_not_started_by_us_is_left_alone() -> None:
    environment = {name: value for name, value in os.environ.items() if name != PARENT_VARIABLE}
    code = "from modeldyno.base.process.procs import end_with_parent; end_with_parent(); print('still here')"
    done = subprocess.run(python(code), env=environment, capture_output=True, check=True)
    assert done.stdout == b"still here\n"


def test_python_module_runs_with_this_interpreter_and_no_module_of_the_current_folder() -> None:
    command = [sys.executable, "-P", "-m", "modeldyno", "serve", "--port", "0"]
    assert python_module("modeldyno", "serve", "--port", "0") == command


def test_a_free_port_can_be_listened_on() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        assert server.getsockname()[1] > 0
