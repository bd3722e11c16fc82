"""One process from its start to steady inference of one model: what each step took, and its memory.

    start_worker.py PEER STARTED_NS THREADS STEADY FEEDS.npz MODEL HOLD [LIB]

It is run as a file, and with LIB (a bundle's `lib` folder) as the first place that modules come from: this
repository's packages are not on its path then. Prints one line of JSON; where HOLD is 1 it stays until
standard input is closed. STARTED_NS is the parent's monotonic clock at the start of the process.
"""

# ruff: noqa: PTH123 - pathlib, like all else that is imported here, would count for the peers

from __future__ import annotations

import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing is not imported either
    from collections.abc import Callable
    from typing import Any

    Loaded = tuple[int, Callable[[dict[str, Any]], Any]]

BEGAN_NS = time.monotonic_ns()


def dyno_peer(model: str, threads: int) -> Loaded:
    """The artifact in the light runtime, from wherever it is found first."""
    from pathlib import Path

    from modeldyno.runtime.open import open_session

    imported = time.monotonic_ns()
    session = open_session(Path(model), threads)
    return imported, session.run


def onnxruntime_peer(model: str, threads: int) -> Loaded:
    """ONNX Runtime at its defaults, with as many threads."""
    import onnxruntime

    imported = time.monotonic_ns()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return imported, lambda feeds: session.run(None, feeds)


def openvino_peer(model: str, threads: int) -> Loaded:
    """OpenVINO with its latency hint, in float32."""
    import openvino

    imported = time.monotonic_ns()
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    core = openvino.Core()
    network = core.compile_model(core.read_model(model), "CPU", {**hints, "INFERENCE_PRECISION_HINT": "f32"})
    return imported, lambda feeds: network(list(feeds.values()))


PEERS = {
    "bundle": dyno_peer,
    "dyno": dyno_peer,
    "onnxruntime": onnxruntime_peer,
    "openvino": openvino_peer,
}


def main(*arguments: str) -> None:
    """Measure one life of a process."""
    peer, started_ns, threads, steady, feeds, model, hold, *lib = arguments
    sys.path[:1] = lib  # in place of this file's own folder, where another module is called runtime
    imported_ns, run = PEERS[peer](model, int(threads))
    loaded_ns = time.monotonic_ns()
    inputs = read_feeds(feeds)
    first_began_ns = time.monotonic_ns()
    run(inputs)
    first_ns = time.monotonic_ns() - first_began_ns
    times = []
    for _ in range(int(steady)):
        began = time.monotonic_ns()
        run(inputs)
        times.append((time.monotonic_ns() - began) / 1e6)
    import json

    facts = {
        "import_ms": (imported_ns - BEGAN_NS) / 1e6,
        "load_ms": (loaded_ns - imported_ns) / 1e6,
        "first_ms": first_ns / 1e6,
        "start_to_first_ms": (loaded_ns - int(started_ns) + first_ns) / 1e6,
        "steady_ms": sorted(times)[len(times) // 2],
        "rss_mb": memory_mb("Rss"),
    }
    print(json.dumps(facts), flush=True)
    if hold == "1":
        sys.stdin.read()


def read_feeds(path: str) -> dict[str, Any]:
    """Read what benchmarks.feeds.save_feeds wrote: a list of names, then the arrays."""
    import numpy as np

    with np.load(path, allow_pickle=False) as stored:
        names, *arrays = (stored[f"arr_{place}"] for place in range(len(stored.files)))
    return dict(zip((str(name) for name in names), arrays, strict=True))


def memory_mb(kind: str) -> float:
    """Resident (Rss) or proportional (Pss) memory of this process in MiB."""
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(f"{kind}:"))


if __name__ == "__main__":
    main(*sys.argv[1:])
