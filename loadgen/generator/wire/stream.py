"""Tells the parent of each request that has ended, so that it can judge the stop rules.

A file of pairs of 8-byte integers: start and latency in microseconds. Of several workers it is the master
that writes it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from modeldyno.loadgen.generator.progress import CLOCK, FAILED
from modeldyno.loadgen.stats.recording import Recorder


class Ended:
    """What one process sees end."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._succeeded = self._failed = 0

    def take(self) -> bytes:
        """Return the pairs of what has ended since the last call."""
        recorder = self._recorder
        starts = recorder.start_us[self._succeeded :]
        failed = recorder.failures[0][self._failed :]
        pairs = np.empty((len(starts) + len(failed), 2), np.int64)
        pairs[: len(starts), 0], pairs[: len(starts), 1] = starts, recorder.latency_us[self._succeeded :]
        pairs[len(starts) :, 0], pairs[len(starts) :, 1] = failed, FAILED
        self._succeeded += len(starts)
        self._failed += len(failed)
        return pairs.tobytes()


def append_ended(path: Path, pairs: bytes, now_us: int) -> None:
    """Write pairs down, and that nothing else had ended by `now_us`."""
    with path.open("ab") as stream:
        stream.write(pairs + np.array([now_us, CLOCK], np.int64).tobytes())
