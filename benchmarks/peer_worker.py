"""One peer in a process of its own: loads a model, then times inferences when it is told to.

Speaks JSON lines: the parent writes {"repeat": N}, this answers {"ms": [...]}; first it says {"ready": …}.
A process each, because thread pools of several runtimes in one process spin against each other.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dyno.records import TensorSpec
from runtime.feeds import random_feeds

Run = Callable[[], list[Any]]


def dyno_peer(model: Path, threads: int) -> tuple[Run, float]:
    """Compile with all defaults for this host; the seconds leave the parity check out."""
    import tempfile

    from compiler import Options, compile_model
    from runtime.session import Session

    folder = Path(tempfile.mkdtemp(prefix="dyno-bench-"))
    began = time.perf_counter()
    compile_model(model, folder / "artifact", options=Options(verify=False))
    seconds = time.perf_counter() - began
    session = Session.load(folder / "artifact", threads)
    feeds = random_feeds(session.inputs, 0)
    return (lambda: list(session.run(feeds).values())), seconds


def onnxruntime_peer(model: Path, threads: int) -> tuple[Run, float]:
    """ONNX Runtime with all graph optimisations and as many threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 4
    began = time.perf_counter()
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    seconds = time.perf_counter() - began
    feeds = random_feeds(_specs(model), 0)
    return (lambda: list(session.run(None, feeds))), seconds


def openvino_peer(model: Path, threads: int) -> tuple[Run, float]:
    """OpenVINO with its latency hint, float32, and as many threads."""
    import openvino

    core = openvino.Core()
    config = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    began = time.perf_counter()
    specs = _specs(model)
    network = core.read_model(model)
    network.reshape({index: list(spec.shape) for index, spec in enumerate(specs)})
    request = core.compile_model(network, "CPU", config).create_infer_request()
    seconds = time.perf_counter() - began
    arrays = list(random_feeds(specs, 0).values())
    return (lambda: list(request.infer(arrays).values())), seconds


PEERS: dict[str, Callable[[Path, int], tuple[Run, float]]] = {
    "dyno": dyno_peer,
    "onnxruntime": onnxruntime_peer,
    "openvino": openvino_peer,
}


def _specs(model: Path) -> tuple[TensorSpec, ...]:
    from compiler.frontends.dispatch import read_model

    return read_model(model, {}).inputs


def main(peer: str, model: str, threads: str, output: str) -> None:
    """Serve one peer until standard input ends; its outputs go to `output` (.npz) to be compared."""
    run, seconds = PEERS[peer](Path(model), int(threads))
    arrays = run()
    np.savez(output, *[np.asarray(array) for array in arrays])
    print(json.dumps({"ready": peer, "compile_s": seconds}), flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(json.loads(line)["repeat"]):
            began = time.perf_counter()
            run()
            times.append((time.perf_counter() - began) * 1000.0)
        print(json.dumps({"ms": times}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:5])
