"""Small things that the recommender's tests share: a model, an instance type, a job, what is left running."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import onnx
import psutil
from onnx import TensorProto, helper, numpy_helper

from modeldyno.base.records.run import Candidate, InstanceType, ServerSettings
from modeldyno.recommender.job.job import Job
from modeldyno.trials.measure.orders import PlannedTrial

SIZE = 8
# The smallest type of this machine's architecture, and one of the other.
SMALLEST, FOREIGN = {
    "x86_64": ("c7a.medium", "c7g.medium"),
    "aarch64": ("c7g.medium", "c7a.medium"),
}[platform.machine()]


def write_model(path: Path, *, seed: int = 0, open_size: bool = False, operator: str = "Relu") -> Path:
    """One matrix product and one more operator."""
    weight = np.random.default_rng(seed).standard_normal((SIZE, SIZE)).astype("float32")
    shape = ["batch" if open_size else 1, SIZE]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node(operator, ["h"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def instance(name: str = "test.one", **changed: object) -> InstanceType:
    """An instance type that this machine can emulate."""
    row = {
        "instance_type": name,
        "family": "test",
        "architecture": {"aarch64": "arm64"}.get(platform.machine(), platform.machine()),
        "vcpus": 1,
        "cores": 1,
        "memory_gib": 1.5,
        "cpu_model": "Some CPU",
        "coremark_per_s": None,
        "gpu": None,
        "usd_per_hour": 0.1,
        "price_date": "2026-01-01",
        "price_source": "a test",
    }
    return InstanceType.model_validate({**row, **changed})


def planned(instance_type: InstanceType, backend: str = "onnxruntime") -> PlannedTrial:
    """One candidate on it, with one thread and one worker."""
    candidate = Candidate.model_validate(
        {
            "backend": backend,
            "instance_type": instance_type.instance_type,
            "settings": ServerSettings(threads=1),
        }
    )
    return PlannedTrial(candidate, instance_type)


def quick_job(**changed: object) -> Job:
    """One short load level on the smallest type, no compilation."""
    job = {
        "candidates": {"backends": ["onnxruntime"], "instance_types": [SMALLEST]},
        "load": {"users": [1], "warmup_s": 0.2, "duration_s": 0.5, "max_duration_s": 3},
    }
    return Job.model_validate({**job, **changed})


def processes_naming(folder: Path) -> list[str]:
    """Command lines of living processes that name `folder`."""
    lines = []
    for process in psutil.process_iter(["cmdline", "status"]):
        command = " ".join(process.info["cmdline"] or ())
        if str(folder) in command and process.info["status"] != psutil.STATUS_ZOMBIE:
            lines.append(command)
    return lines
