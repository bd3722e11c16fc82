"""Sides of a known speed: user code that sleeps, so that what else the machine does changes little."""

from __future__ import annotations

import textwrap
from pathlib import Path

SCRIPT = """
    import os, time
    SEEN = [0]

    def model_fn(folder):
        return None

    def predict_fn(data, model):
        SEEN[0] += 1
        if SEEN[0] == {dies_at}:
            os._exit(3)
        if SEEN[0] % 10 >= 10 - {failing}:
            raise RuntimeError("it fails on purpose")
        time.sleep({sleep_s!r})
        return data
"""


def sleeper(folder: Path, sleep_s: float, *, dies_at: int = 0, failing: int = 0) -> Path:
    """A server folder; it dies at its request of that number, and fails the last so many of each ten."""
    folder.mkdir(parents=True, exist_ok=True)
    script = textwrap.dedent(SCRIPT).format(sleep_s=sleep_s, dies_at=dies_at or -1, failing=failing)
    (folder / "inference.py").write_text(script)
    return folder


def body(folder: Path) -> str:
    """A request body for them."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "body.json"
    path.write_text("[1.0, 2.0]")
    return str(path)
