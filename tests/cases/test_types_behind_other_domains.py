"""Behind operators that are not ONNX's own, every tensor has a type, and what follows compiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto

from modeldyno.compiler.frontends.dispatch import read_model
from modeldyno.compiler.model.onnx_graph import OnnxGraph
from modeldyno.compiler.models import compile_model
from modeldyno.compiler.options import Options
from modeldyno.runtime.open import open_session
from tests.compiler.models import constant, model, node, tensor, weights

ML = "ai.onnx.ml"


def column_transformer() -> onnx.ModelProto:
    """The shape of every sklearn ColumnTransformer: numbers are scaled, words get a column each."""
    nodes = [
        node("Scaler", "num", "s", domain=ML, offset=[0.5, 1.0], scale=[2.0, 3.0]),
        node("OneHotEncoder", "cat", "o", domain=ML, cats_strings=["x", "y", "z"], zeros=1),
        node("Reshape", "o shape", "o2"),
        node("Concat", "s o2", "v", axis=1),
        node("MatMul", "v w", "y"),
    ]
    inputs = [tensor("num", [4, 2]), tensor("cat", [4, 1], TensorProto.STRING)]
    values = [constant("shape", [-1, 3]), weights("w", 5, 3)]
    return model(nodes, inputs, [tensor("y", [4, 3])], values, domains=[ML])


def test_a_column_transformer_runs_in_segments(tmp_path: Path) -> None:
    made = column_transformer()
    onnx.save(made, tmp_path / "m.onnx")
    manifest = compile_model(tmp_path / "m.onnx", tmp_path / "a", options=Options(fallback="onnxruntime"))
    feeds = {
        "num": np.arange(8, dtype=np.float32).reshape(4, 2),
        "cat": np.array([["x"], ["z"], ["?"], ["y"]], object),
    }
    (wanted,) = onnxruntime.InferenceSession(
        made.SerializeToString(), providers=["CPUExecutionProvider"]
    ).run(None, feeds)
    np.testing.assert_allclose(open_session(tmp_path / "a").run(feeds)["y"], wanted, rtol=1e-5)
    assert manifest.coverage is not None
    assert set(manifest.coverage.fallback) == {"Scaler", "OneHotEncoder"}
    assert [segment.engine for segment in manifest.segments].count("compiled") == 1


def test_what_follows_an_operator_of_onnx_runtime_has_types_and_is_compiled(tmp_path: Path) -> None:
    """Coverage and messages said of all that follows that its type was not known."""
    nodes = [
        node("MatMul", "x w", "h"),
        node("QuickGelu", "h", "q", domain="com.microsoft", alpha=1.5),
        node("Add", "q b", "r"),
        node("Relu", "r", "y"),
    ]
    made = model(
        nodes,
        [tensor("x", [2, 8])],
        [tensor("y", [2, 4])],
        [weights("w", 8, 4), weights("b", 4)],
        domains=["com.microsoft"],
    )
    onnx.save(made, tmp_path / "m.onnx")
    graph = OnnxGraph(read_model(tmp_path / "m.onnx", {}).model)
    assert {name: graph.shapes.get(name) for name in ("h", "q", "r")} == dict.fromkeys("hqr", (2, 4))
    whys = {graph.nodes[place].op_type: graph.why_foreign(place) for place in range(len(graph.nodes))}
    assert set(whys.values()) == {""}
    manifest = compile_model(tmp_path / "m.onnx", tmp_path / "a", options=Options(fallback="onnxruntime"))
    assert manifest.coverage is not None
    assert manifest.coverage.fallback == ("QuickGelu",)
    assert manifest.coverage.flops is not None


def test_maps_and_sequences_have_types_too(tmp_path: Path) -> None:
    nodes = [
        node(
            "LinearClassifier",
            "x",
            "label scores",
            domain=ML,
            coefficients=[0.1, 0.2, 0.3, 0.4],
            intercepts=[0.0, 0.1],
            classlabels_ints=[0, 1],
        ),
        node("ZipMap", "scores", "named", domain=ML, classlabels_int64s=[0, 1]),
        node("Identity", "label", "y"),
    ]
    outputs = [tensor("y", [3], TensorProto.INT64), onnx.ValueInfoProto(name="named")]
    made = model(nodes, [tensor("x", [3, 2])], outputs, domains=[ML])
    kind = onnx.helper.make_map_type_proto(
        TensorProto.INT64, onnx.helper.make_tensor_type_proto(TensorProto.FLOAT, ())
    )
    made.graph.output[1].type.CopyFrom(onnx.helper.make_sequence_type_proto(kind))
    onnx.save(made, tmp_path / "m.onnx")
    graph = OnnxGraph(read_model(tmp_path / "m.onnx", {}, foreign=True).model)
    assert graph.types["scores"].tensor_type.elem_type == TensorProto.FLOAT
    assert all(graph.types.get(name) for each in graph.nodes for name in each.output)
