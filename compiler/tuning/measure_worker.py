"""The measuring process: loads kernels by the light runtime and times them on one core.

    python -m modeldyno.compiler.tuning.measure_worker SOCKET CORE

Each line from the socket is a request, each answer a line: {"us": one call's time} or {"error": why}.
A kernel that crashes ends this process and no other.
"""

from __future__ import annotations

import json
import math
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from modeldyno.base.process.procs import end_with_parent
from modeldyno.runtime import tvm_light
from modeldyno.runtime.memory import aligned

# A model streams through all its weights: when a kernel's turn comes, its own lie outside the near caches.
COLD_BYTES = 32 << 20
MOST_COPIES = 8
BLOCK = 1 << 18  # random numbers that are repeated over all weights
_ALIGN = 16  # floats: 64 bytes
_SHARE_CORES = -3


class Worker:
    """Loaded kernels and the numbers that they read."""

    def __init__(self, core: int) -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {core})
        self._ffi = tvm_light.load()
        self._ffi.get_global_func("runtime.config_threadpool")(_SHARE_CORES, 1, [str(core)])
        self._block = (np.random.default_rng(0).standard_normal(BLOCK) * 0.05).astype(np.float32)
        self._libraries: dict[str, Any] = {}
        self._kernels: dict[tuple[str, str], Callable[[int], float]] = {}
        self._weights = self._block

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what one request asks."""
        if request.get("forget"):
            self._libraries, self._kernels, self._weights = {}, {}, self._block
            return {}
        name = (request["library"], request["function"])
        if name not in self._kernels:
            self._kernels[name] = self._load(*name, request["arguments"])
        return {"us": self._kernels[name](request["calls"])}

    def _load(self, library: str, function: str, arguments: list[Any]) -> Callable[[int], float]:
        if library not in self._libraries:
            self._libraries[library] = self._ffi.load_module(library)
        call = self._libraries[library].get_function(function, True)
        weights = [math.prod(shape) for kind, shape in arguments if kind == "weight"]
        size = sum(map(_padded, weights))
        copies = min(MOST_COPIES, max(1, -(-COLD_BYTES // max(1, 4 * size))))
        pool = self._pool(copies * size)
        fixed = [None if kind == "weight" else self._numbers(shape) for kind, shape in arguments]
        sets = []
        place = 0
        for _ in range(copies):
            given = []
            for value, (_, shape) in zip(fixed, arguments, strict=True):
                if value is not None:
                    given.append(value)
                    continue
                count = math.prod(shape)
                given.append(self._ffi.from_dlpack(pool[place : place + count].reshape(shape)))
                place += _padded(count)
            sets.append(given)
        return _timer(call, sets)

    def _numbers(self, shape: list[int]) -> Any:
        return self._ffi.from_dlpack(aligned(np.resize(self._block, shape)))

    def _pool(self, count: int) -> Any:
        """Give `count` numbers; the candidates of a kernel share them, as they run one after the other."""
        if self._weights.size < count:
            self._weights = aligned(np.resize(self._block, count))
        return aligned(self._weights)


def _padded(count: int) -> int:
    return -(-count // _ALIGN) * _ALIGN


def _timer(call: Any, sets: list[list[Any]]) -> Callable[[int], float]:
    turn = 0

    def time_calls(calls: int) -> float:
        """Time so many calls, each with the next copy of the weights; give one call's microseconds."""
        nonlocal turn
        order = [sets[(turn + number) % len(sets)] for number in range(calls)]
        turn += calls
        began = time.perf_counter()
        for given in order:
            call(*given)
        return (time.perf_counter() - began) / calls * 1e6

    return time_calls


def main(address: str, core: str) -> None:
    """Answer requests until the other side hangs up."""
    end_with_parent()
    worker = Worker(int(core))
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(address)
        with line.makefile("rw", encoding="utf-8", newline="\n") as stream:
            for text in stream:
                try:
                    reply = worker.answer(json.loads(text))
                except (RuntimeError, OSError, AttributeError, ValueError, TypeError, MemoryError) as error:
                    reply = {"error": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"}
                stream.write(json.dumps(reply) + "\n")
                stream.flush()


if __name__ == "__main__":
    main(*sys.argv[1:3])
