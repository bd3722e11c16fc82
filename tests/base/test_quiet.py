"""Descriptor 2 is silent inside of a block, and what it was behind the last one."""

from __future__ import annotations

import os
import threading

import pytest

from modeldyno.base.process.quiet import silent_stderr


def test_stderr_comes_back_when_blocks_of_threads_overlap(capfd: pytest.CaptureFixture[str]) -> None:
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with silent_stderr():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with silent_stderr():
        thread.start()
        entered.wait(10)
        os.write(2, b"lost\n")
    os.write(2, b"lost too: the other block is open\n")
    leave.set()
    thread.join()
    os.write(2, b"said\n")
    assert capfd.readouterr().err == "said\n"


def test_an_error_inside_gives_stderr_back(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="seen"), silent_stderr():
        raise ValueError("seen")
    os.write(2, b"said\n")
    assert capfd.readouterr().err == "said\n"
