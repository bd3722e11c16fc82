"""Tells the parent of each request that has ended, so that it can judge the stop rules."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from loadgen.progress import CLOCK, FAILED
from loadgen.recording import Recorder


class Stream:
    """Pairs of 8-byte integers in a file: start and latency in microseconds."""

    def __init__(self, path: Path, recorder: Recorder) -> None:
        self._path, self._recorder = path, recorder
        self._succeeded = self._failed = 0

    def flush(self, now_us: int) -> None:
        """Write down what has ended since the last call."""
        recorder = self._recorder
        starts = recorder.start_us[self._succeeded :]
        failed = recorder.failures[0][self._failed :]
        pairs = np.empty((len(starts) + len(failed) + 1, 2), np.int64)
        pairs[: len(starts), 0], pairs[: len(starts), 1] = starts, recorder.latency_us[self._succeeded :]
        pairs[len(starts) : -1, 0], pairs[len(starts) : -1, 1] = failed, FAILED
        pairs[-1] = now_us, CLOCK
        self._succeeded += len(starts)
        self._failed += len(failed)
        with self._path.open("ab") as stream:
            stream.write(pairs.tobytes())
