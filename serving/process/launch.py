"""How a worker process is started: its command line, and the settings in it."""

from __future__ import annotations

from collections.abc import Sequence

from modeldyno.base.process import procs
from modeldyno.base.settings import to_json
from modeldyno.serving.settings import ServeSettings

MOST_REPORT_BYTES = 60_000
_WORKER = "modeldyno.serving.process.worker"


def worker_args(
    settings: ServeSettings, descriptors: Sequence[int], processes: int, number: int
) -> list[str]:
    """Write the command line of worker `number`.

    It inherits the socket, the board, the pipe for its error, and the channel for connections.
    """
    numbers = map(str, (*descriptors, processes, number))
    return procs.python_module(_WORKER, *numbers, to_json(settings))
