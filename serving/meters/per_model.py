"""What each model's requests took, in the row of the process that answered them; sums over all processes."""

from __future__ import annotations

import threading
import time
from array import array
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from modeldyno.serving.meters.board import CELLS
from modeldyno.serving.meters.metrics import END

if TYPE_CHECKING:
    from modeldyno.serving.meters.board import Member
    from modeldyno.serving.meters.metrics import Meters


@dataclass(frozen=True)
class Counts:
    """Of one model, since the server started; `*_s` are sums of seconds."""

    answered: float = 0.0
    """Requests that were answered with status 200."""
    answered_s: float = 0.0
    """From their headers to their answers."""
    failed: float = 0.0
    failed_s: float = 0.0
    begun: float = 0.0
    """Requests that a worker began to read."""
    queued_s: float = 0.0
    """From their headers until then."""
    read_s: float = 0.0
    inferences: float = 0.0
    """Runs of the model: of several requests where they are joined."""
    inference_s: float = 0.0
    last_s: float = 0.0
    """When the last one ended, in seconds since 1970."""


_NAMES = tuple(each.name for each in fields(Counts))
_AT = {name: at for at, name in enumerate(_NAMES)}
_MOST_MODELS = (CELLS - END) // len(_NAMES)


class ModelMeter:
    """Counts for the model `number`; of more models than have a place, for the server as a whole only."""

    def __init__(self, meters: Meters, member: Member, number: int) -> None:
        self._meters = meters
        self._lock = threading.Lock()  # requests are counted by the threads that run them
        start = END + number * len(_NAMES)
        placed = number < _MOST_MODELS
        self._blocks = [row.cells[start : start + len(_NAMES)] for row in member.board.rows if placed]
        nowhere: memoryview[float] = memoryview(array("d", [0.0] * len(_NAMES)))
        self._own = self._blocks[member.number] if placed else nowhere

    def began(self, queued_s: float, read_s: float) -> None:
        """Count a request that a worker thread has read."""
        self._add(begun=1.0, queued_s=queued_s, read_s=read_s)

    def inference(self, seconds: float) -> None:
        """Count one inference."""
        self._meters.inference(seconds)
        self._ran(seconds)

    def joined_inference(self, rows: int, seconds: float) -> None:
        """Count one inference of joined requests."""
        self._meters.joined_inference(rows, seconds)
        self._ran(seconds)

    def answered(self, status: int | None, seconds: float) -> None:
        """Count one request; `status` None: the client was gone. On the event loop only."""
        self._meters.answered(status, seconds)
        if status == 200:
            self._add(answered=1.0, answered_s=seconds)
        elif status is not None:
            self._add(failed=1.0, failed_s=seconds)

    def counts(self) -> Counts:
        """Add up what all processes counted."""
        values = {name: [block[at] for block in self._blocks] for name, at in _AT.items()}
        last_s = max(values.pop("last_s"), default=0.0)
        return Counts(**{name: sum(each) for name, each in values.items()}, last_s=last_s)

    def _ran(self, seconds: float) -> None:
        self._add(inferences=1.0, inference_s=seconds)
        self._own[_AT["last_s"]] = time.time()

    def _add(self, **amounts: float) -> None:
        with self._lock:
            for name, amount in amounts.items():
                self._own[_AT[name]] += amount
