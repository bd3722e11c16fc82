"""Peers held to AVX2: what is changed in their libraries, and that they go by it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.compile.__main__ import _arguments
from benchmarks.compile.held import held_packages, without_avx512

# Prints the kinds of kernels that OpenVINO takes for a norm and a product, and ONNX Runtime's answer.
_PROBE = """
import json, numpy, onnx, onnxruntime, openvino
from onnx import TensorProto, helper, numpy_helper
weight = numpy_helper.from_array(numpy.ones((64, 64), numpy.float32), "w")
ones = numpy_helper.from_array(numpy.ones(64, numpy.float32), "s")
nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]),
         helper.make_node("LayerNormalization", ["y", "s"], ["z"])]
sides = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [8, 64]) for n in "xz"]
graph = helper.make_graph(nodes, "g", sides[:1], sides[1:], [weight, ones])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
model = model.SerializeToString()
x = numpy.arange(512, dtype=numpy.float32).reshape(8, 64)
core = openvino.Core()
request = core.compile_model(core.read_model(model), "CPU", {"PERF_COUNT": True}).create_infer_request()
request.infer({0: x})
kinds = [each.exec_type for each in request.profiling_info]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
same = numpy.allclose(session.run(None, {"x": x})[0], request.get_output_tensor().data, atol=1e-3)
print(json.dumps([kinds, bool(same), onnxruntime.__file__, openvino.__file__]))
"""


def test_only_the_question_for_the_saved_registers_is_replaced() -> None:
    asked = bytes.fromhex("31c9 0f01d0")  # xor ecx, ecx; xgetbv
    other = bytes.fromhex("89c0 0f01d0 89c0 48c1e220")  # its answer put together: shl rdx, 32
    chance = bytes.fromhex("83e0 0f01d0 83f87f")  # and eax, 15; add eax, edx
    found = without_avx512(asked + chance + other)
    assert found == bytes.fromhex("31c9 6a0758") + chance + bytes.fromhex("89c0 6a0758 89c0 48c1e220")


def test_by_default_avx2_code_runs_beside_the_same_peers() -> None:
    assert _arguments(["--target", "haswell"]).peers == ["dyno", "onnxruntime", "openvino"]


def test_held_peers_run_from_the_copies_and_without_avx512(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    assert held_packages(tmp_path) == ("onnxruntime", "openvino")
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", _PROBE], env=env, capture_output=True, text=True, check=True)
    kinds, same, *files = json.loads(done.stdout.splitlines()[-1])
    assert same
    assert all(file.startswith(str(tmp_path)) for file in files)
    assert any("avx2" in kind for kind in kinds)
    assert not any("avx512" in kind for kind in kinds)
