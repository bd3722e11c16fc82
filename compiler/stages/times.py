"""The seconds of a compile's steps, for the manifest."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from modeldyno.runtime.records.origin import StageTime


def stage_time(name: str, seconds: float) -> StageTime:
    """Put the time of a step on record."""
    return StageTime(stage=name, seconds=round(seconds, 4))


class StageTimes(list[StageTime]):
    """The steps that are done, in order."""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what is done inside; a step that fails is not on record."""
        began = time.perf_counter()
        yield
        self.append(stage_time(name, time.perf_counter() - began))
