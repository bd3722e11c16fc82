"""What a Locust process of ours does first: it ends with its parent, and does as one that sends should."""

from __future__ import annotations

import atexit
import os
import shutil

from modeldyno.base.process.procs import end_with_parent
from modeldyno.loadgen.generator.open_files import raise_file_limit
from modeldyno.loadgen.generator.precise import sharpen_timers


def settle_in(folder: str) -> None:
    """Settle in the folder in which parent and child meet; it is removed here if the parent is killed."""
    atexit.register(_clean_up, folder, os.getppid())
    end_with_parent()
    sharpen_timers()
    raise_file_limit()
    os.chdir(folder)


def _clean_up(folder: str, parent: int) -> None:
    if os.getppid() != parent:  # it was killed, so it does not do it
        shutil.rmtree(folder, ignore_errors=True)
