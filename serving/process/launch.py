"""How a worker process is started: its command line, and the settings in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from modeldyno.base.process import procs
from modeldyno.serving.settings import NamedModel, ServeSettings

MOST_REPORT_BYTES = 60_000
_WORKER = "modeldyno.serving.process.worker"


def worker_args(
    settings: ServeSettings, descriptors: Sequence[int], processes: int, number: int
) -> list[str]:
    """Write the command line of worker `number`.

    It inherits the socket, the board, the pipe for its error, and the channel for connections.
    """
    numbers = map(str, (*descriptors, processes, number))
    return procs.python_module(_WORKER, *numbers, json.dumps(asdict(settings), default=str))


def read_settings(text: str) -> ServeSettings:
    """Read what `worker_args` wrote."""
    values = json.loads(text)
    cpus, port_file = values["cpus"], values["port_file"]
    return ServeSettings(
        **{
            **values,
            "path": Path(values["path"]),
            "port_file": None if port_file is None else Path(port_file),
            "cpus": None if cpus is None else tuple(cpus),
            "preferred_batch": tuple(values["preferred_batch"]),
            "more_models": tuple(NamedModel(one["name"], Path(one["path"])) for one in values["more_models"]),
        }
    )
