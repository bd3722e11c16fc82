"""The peers: each loads the same model at its best public settings and runs it on the same inputs.

A peer's libraries are imported only when it is loaded, in a process of its own.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.feeds import Array

Run = Callable[[], list[Any]]
FLOAT32_ARTIFACT = "float32"  # beside the artifact of a quantised form, that of its float32 model


@dataclass(frozen=True)
class Job:
    """What a peer is to run.

    name: of the model in the zoo; empty for a file of the user's.
    model: its ONNX file.
    artifact: the folder that dyno compiled it into.
    feeds: one array per input, in the model's order.
    threads: inside one inference.
    """

    name: str
    model: Path
    artifact: Path
    feeds: dict[str, Array]
    threads: int


@dataclass(frozen=True)
class Loaded:
    """A peer ready to run; `how` says which of its ways was taken, where it has several."""

    run: Run
    how: str = ""


def dyno_peer(job: Job) -> Loaded:
    """The artifact in the light runtime; nothing is compiled here, so the memory is the runtime's alone."""
    from modeldyno.runtime.open import open_session

    session = open_session(job.artifact, job.threads)
    return Loaded(lambda: list(session.run(job.feeds).values()))


def dyno_float32_peer(job: Job) -> Loaded:
    """The artifact of the float32 model that a quantised form of the zoo was made of.

    Raises:
        LookupError: the model is no quantised form.
    """
    from modeldyno.runtime.open import open_session

    artifact = job.artifact.with_name(FLOAT32_ARTIFACT)
    if not artifact.is_dir():
        raise LookupError(f"no artifact in {artifact}: only a quantised form of the zoo has a float32 model")
    session = open_session(artifact, job.threads)
    return Loaded(lambda: list(session.run(job.feeds).values()))


def onnxruntime_peer(job: Job) -> Loaded:
    """ONNX Runtime with all graph optimisations."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(job.model), options, providers=["CPUExecutionProvider"])
    return Loaded(lambda: list(session.run(None, job.feeds)))


def openvino_peer(job: Job) -> Loaded:
    """OpenVINO with its latency hint, in float32, without copies of inputs and outputs."""
    import openvino

    config = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": job.threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    core = openvino.Core()
    network = core.read_model(job.model)
    # Inputs go by place: a name may be lost when the file is read.
    network.reshape({place: list(array.shape) for place, array in enumerate(job.feeds.values())})
    request = core.compile_model(network, "CPU", config).create_infer_request()
    arrays = dict(enumerate(job.feeds.values()))
    return Loaded(lambda: list(request.infer(arrays, share_inputs=True, share_outputs=True).values()))


def torch_peer(job: Job) -> Loaded:
    """The torch module itself, in the fastest of the ways that run here: compiled, frozen, or as it is.

    Raises:
        LookupError: the model has no torch module.
    """
    import torch

    from benchmarks.zoo.registry import torch_module

    torch.set_num_threads(job.threads)
    if not job.name:
        raise LookupError("a model given as a file has no torch module")
    module, _ = torch_module(job.name)
    inputs = tuple(torch.from_numpy(array) for array in job.feeds.values())
    if all(tensor.dim() == 4 for tensor in inputs):
        module = module.to(memory_format=torch.channels_last)
        inputs = tuple(tensor.to(memory_format=torch.channels_last) for tensor in inputs)
    with torch.inference_mode():
        made = {how: _tried(make, module, inputs) for how, make in TORCH_WAYS.items()}
        ways = {how: way for how, way in made.items() if way is not None}
        how = min(ways, key=lambda name: _typical_s(ways[name], inputs))
    chosen = ways[how]

    def run() -> list[Any]:
        with torch.inference_mode():
            return [chosen(*inputs).numpy()]

    return Loaded(run, how)


def _compiled(module: Any, _: Any) -> Any:
    import torch
    from torch._inductor import config

    if not any(shutil.which(name) for name in ("g++", "clang++")):
        raise RuntimeError("torch.compile needs a C++ compiler")
    config.freezing = True  # weights become constants and are packed for the matrix kernels
    return torch.compile(module, dynamic=False)


def _frozen(module: Any, inputs: Any) -> Any:
    import torch

    return torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(module, inputs)))


TORCH_WAYS: dict[str, Callable[[Any, Any], Any]] = {
    "eager": lambda module, _: module,
    "torch.jit frozen": _frozen,
    "torch.compile (inductor, freezing)": _compiled,
}


def _tried(make: Callable[[Any, Any], Any], module: Any, inputs: Any) -> Any:
    """Return the module made so, or None when it can't be made or run."""
    try:
        made = make(module, inputs)
        for _ in range(3):
            made(*inputs)
    except Exception:  # whatever it stumbled over, another way is taken
        return None
    return made


def _typical_s(way: Any, inputs: Any) -> float:
    times = []
    for _ in range(5):
        began = time.perf_counter()
        way(*inputs)
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def tvm_default_peer(job: Job) -> Loaded:
    """TVM's own ONNX reader and default pipeline for this processor, unscheduled as it comes."""
    import onnx
    import tvm
    from tvm.relax.frontend.onnx import from_onnx

    from modeldyno.base.host.facts import host_facts, usable_cores
    from modeldyno.compiler.targets.catalog import resolve_target

    shapes = {name: list(array.shape) for name, array in job.feeds.items()}
    module = from_onnx(onnx.load(job.model), shape_dict=shapes)
    target = resolve_target("host", host_facts()).tvm_target()
    with tvm.transform.PassContext(opt_level=3):
        machine = tvm.relax.VirtualMachine(tvm.compile(module, target), tvm.cpu())
    cores = [str(core) for core in usable_cores()]
    tvm.get_global_func("runtime.config_threadpool")(-3, job.threads, cores)
    tensors = [tvm.runtime.tensor(array) for array in job.feeds.values()]

    def run() -> list[Any]:
        result = machine["main"](*tensors)
        return [result.numpy()] if hasattr(result, "numpy") else [one.numpy() for one in result]

    return Loaded(run)


PEERS: dict[str, Callable[[Job], Loaded]] = {
    "dyno": dyno_peer,
    "dyno-float32": dyno_float32_peer,
    "onnxruntime": onnxruntime_peer,
    "openvino": openvino_peer,
    "torch": torch_peer,
    "tvm-default": tvm_default_peer,
}
