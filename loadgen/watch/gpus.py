"""GPUs of this machine by NVIDIA's management library, where it and its Python package are installed."""

from __future__ import annotations

import importlib
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from modeldyno.base.records.usage import GpuUsage
from modeldyno.base.units import BYTES_PER_MIB

PACKAGE = "pynvml"  # of nvidia-ml-py


@dataclass
class _Seen:
    name: str
    handle: Any
    busy: list[float] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)
    watts: list[float] = field(default_factory=list)


class GpuMeter:
    """Looks at every GPU; there are none where the library is missing."""

    def __init__(self) -> None:
        self._library: Any = None
        self._seen: list[_Seen] = []
        with suppress(Exception):  # no package, no driver, no permission: there is nothing to tell
            library: Any = importlib.import_module(PACKAGE)
            library.nvmlInit()
            self._library = library
            handles = map(library.nvmlDeviceGetHandleByIndex, range(library.nvmlDeviceGetCount()))
            self._seen = [_Seen(_text(library.nvmlDeviceGetName(one)), one) for one in handles]

    def look(self) -> None:
        """Read each GPU once; what one does not tell is left out."""
        for one in self._seen:
            with suppress(Exception):
                one.busy.append(self._library.nvmlDeviceGetUtilizationRates(one.handle).gpu / 100)
            with suppress(Exception):
                one.memory_mib.append(self._library.nvmlDeviceGetMemoryInfo(one.handle).used / BYTES_PER_MIB)
            with suppress(Exception):
                one.watts.append(self._library.nvmlDeviceGetPowerUsage(one.handle) / 1000)

    def close(self) -> tuple[GpuUsage, ...]:
        """Leave the library; return what was seen."""
        if self._library is not None:
            with suppress(Exception):
                self._library.nvmlShutdown()
        return tuple(
            GpuUsage(
                name=one.name,
                busy_share_mean=fmean(one.busy) if one.busy else None,
                memory_mib_max=max(one.memory_mib, default=None),
                power_w_mean=fmean(one.watts) if one.watts else None,
                samples=max(len(one.busy), len(one.memory_mib), len(one.watts)),
            )
            for one in self._seen
        )


def _text(name: str | bytes) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else name
