"""ONNX files, good and bad: the right error with what to do, or the right outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from modeldyno.base.errors import CompileError, ConfigError, ModelError
from modeldyno.compiler.frontends.dispatch import read_model
from modeldyno.compiler.frontends.onnx.file import read_onnx
from modeldyno.compiler.models import compile_model
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.sessions.base import AnySession
from tests.compiler.models import add_net, constant, conv_net, mlp, model, node, saved, tensor, weights

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(64))


def compiled(tmp_path: Path, made: onnx.ModelProto) -> tuple[Manifest, AnySession]:
    manifest = compile_model(saved(tmp_path / "model.onnx", made), tmp_path / "artifact")
    assert manifest.parity is not None
    return manifest, open_session(tmp_path / "artifact", 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "model not found"),
        (b"", r"is empty \(0 bytes\)"),
        (b"this is no model\n" * 20, "no readable ONNX file|no ONNX model"),
        (PNG, "no readable ONNX file|no ONNX model"),
        (conv_net().SerializeToString()[:-40], "truncated"),
        (conv_net().SerializeToString()[:2000], "truncated"),
    ],
    ids=["missing", "empty", "text", "PNG", "cut at the end", "cut in a weight"],
)
def test_what_is_no_whole_onnx_file_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        read_onnx(path, {})
    assert str(path) in str(caught.value)


def test_a_folder_and_an_unknown_suffix_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is a folder; expected an \.onnx or \.pt2 file"):
        read_model(tmp_path, {})
    (tmp_path / "model.pb").write_bytes(b"x")
    with pytest.raises(ModelError, match=r'unknown kind of model "\.pb"; expected \.onnx or \.pt2'):
        read_model(tmp_path / "model.pb", {})


def one_node(operator: str, **more: Any) -> onnx.ModelProto:
    made = add_net()
    made.graph.node[0].op_type = operator
    made.graph.node[0].domain = more.get("domain", "")
    if "domain" in more:
        made.opset_import.append(helper.make_opsetid(more["domain"], 1))
    return made


def newer(opset: int) -> onnx.ModelProto:
    made = add_net()
    made.opset_import[0].version = opset
    return made


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (one_node("Frobnicate"), "operator 'Frobnicate', which ONNX does not have"),
        (one_node("Add", domain="acme.ops"), "operator 'Add' of the unknown domain 'acme.ops'"),
        (newer(999), r"uses ONNX opset 999; the onnx package here knows up to \d+: update"),
        (model([], [tensor("x", [1])], [tensor("x", [1])]), "no operators"),
    ],
    ids=["operator", "domain", "opset", "no operator"],
)
def test_what_onnx_does_not_know_is_named(tmp_path: Path, made: onnx.ModelProto, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_onnx(saved(tmp_path / "model.onnx", made), {})


def strange() -> onnx.ModelProto:
    """Two operators that nobody knows, one of them twice."""
    nodes = [node("Softmx", "x", "a", name="one"), node("Softmx", "a", "b"), node("Spin", "b", "y")]
    nodes[2].domain = "acme.ops"
    return model(nodes, [tensor("x", ["rows", 3])], [tensor("y", ["rows", 3])], domains=["acme.ops"])


@pytest.mark.parametrize("shape", [2, "1..4"])
def test_all_operators_that_nobody_knows_are_named_at_once_with_a_way_out(
    tmp_path: Path, shape: int | str
) -> None:
    path = saved(tmp_path / "model.onnx", strange())
    with pytest.raises(ModelError) as caught:
        compile_model(path, tmp_path / "out", shapes={"x": (shape, 3)})
    told = str(caught.value)
    assert (
        "'Softmx', which ONNX does not have (it has 'Softmax'): node 'one' and 1 more, domain ai.onnx" in told
    )
    assert "operator 'Spin' of the unknown domain 'acme.ops': node 'y', domain acme.ops, opset 1" in told
    assert "export the model with standard operators in their place" in told


@pytest.mark.parametrize(
    ("shapes", "error", "message"),
    [
        ({}, ModelError, r"input 'x' has no fixed shape \(\[\?, 8\]\): give one, e\.g\. `shapes` 'x=1,8'"),
        ({"y": (2, 8)}, ConfigError, "`shapes` y: the model has no such input; its inputs are: x"),
        ({"x": (2, 8, 1)}, ConfigError, r"`shapes` x=2,8,1 has 3 dimensions, the model's input has 2"),
        ({"x": (2, 9)}, ConfigError, r"`shapes` x=2,9 goes against the model's \[\?, 8\]"),
    ],
    ids=["none", "name", "rank", "fixed dimension"],
)
def test_an_open_shape_must_be_given_and_fit(
    tmp_path: Path, shapes: dict[str, tuple[int, ...]], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        read_onnx(saved(tmp_path / "model.onnx", mlp("rows")), shapes)


def test_a_given_shape_fixes_the_open_dimension(tmp_path: Path) -> None:
    source = read_onnx(saved(tmp_path / "model.onnx", mlp("rows")), {"x": (5, 8)})
    assert source.inputs[0].shape == (5, 8)
    assert source.outputs[0].shape == (5, 3)


def external(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    onnx.save(mlp(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


def test_external_data_is_read_from_beside_the_file(tmp_path: Path) -> None:
    manifest = compile_model(external(tmp_path), tmp_path / "artifact")
    assert manifest.parity is not None


def test_missing_external_data_is_named(tmp_path: Path) -> None:
    path = external(tmp_path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelError, match=r"weights\.bin"):
        read_onnx(path, {})


def test_cut_external_data_is_refused(tmp_path: Path) -> None:
    path = external(tmp_path)
    data = tmp_path / "weights.bin"
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(ModelError, match=str(path)):
        read_onnx(path, {})


def test_external_data_outside_the_models_folder_is_refused(tmp_path: Path) -> None:
    path = external(tmp_path)
    made = onnx.load(path, load_external_data=False)
    for each in made.graph.initializer:
        each.external_data[0].value = "../../../etc/hostname"
    path.write_bytes(made.SerializeToString())
    with pytest.raises(ModelError):
        read_onnx(path, {})


def test_the_digest_changes_with_a_byte_of_either_file(tmp_path: Path) -> None:
    path = external(tmp_path)
    data = tmp_path / "weights.bin"
    before = read_onnx(path, {}).digest
    data.write_bytes(data.read_bytes()[:-1] + b"\x01")
    other_weight = read_onnx(path, {}).digest
    made = onnx.load(path, load_external_data=False)
    made.doc_string = "!"
    path.write_bytes(made.SerializeToString())
    assert len({before, other_weight, read_onnx(path, {}).digest}) == 3


def test_initializers_that_are_listed_as_inputs_are_weights(tmp_path: Path) -> None:
    made = mlp()
    made.graph.input.extend(tensor(each.name, each.dims) for each in made.graph.initializer)
    manifest, _ = compiled(tmp_path, made)
    assert [spec.name for spec in manifest.inputs] == ["x"]


def test_whole_numbers_and_booleans_go_in_and_come_out(tmp_path: Path) -> None:
    nodes = [
        node("Gather", "table ids", "rows", axis=0),
        node("Where", "mask rows zero", "kept"),
        node("Not", "mask", "dropped"),
        node("Add", "ids one", "next"),
    ]
    made = model(
        nodes,
        [tensor("ids", [4, 1], TensorProto.INT64), tensor("mask", [4, 1, 1], TensorProto.BOOL)],
        [
            tensor("kept", [4, 1, 3]),
            tensor("dropped", [4, 1, 1], TensorProto.BOOL),
            tensor("next", [4, 1], TensorProto.INT64),
        ],
        [weights("table", 6, 3), constant("zero", 0, "float32"), constant("one", 1)],
    )
    manifest, session = compiled(tmp_path, made)
    assert [spec.dtype for spec in manifest.outputs] == ["float32", "bool", "int64"]
    ids, mask = np.array([[5], [0], [2], [1]]), np.array([True, False, True, False]).reshape(4, 1, 1)
    out = session.run({"ids": ids, "mask": mask})
    np.testing.assert_array_equal(out["next"], ids + 1)
    np.testing.assert_array_equal(out["dropped"], ~mask)
    assert (out["kept"][1] == 0).all()
    assert (out["kept"][0] != 0).all()


def test_a_single_number_comes_out_without_axes(tmp_path: Path) -> None:
    made = model([node("ReduceSum", "x", "total", keepdims=0)], [tensor("x", [3, 4])], [tensor("total", [])])
    manifest, session = compiled(tmp_path, made)
    assert manifest.outputs[0].shape == ()
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert session.run({"x": x})["total"] == np.float32(66)


@pytest.mark.parametrize("index", [0, 2, -1])
@pytest.mark.parametrize("axis", [0, 1])
def test_gathering_at_a_single_number_drops_the_axis(tmp_path: Path, index: int, axis: int) -> None:
    nodes = [node("Relu", "x", "r"), node("Gather", "r at", "y", axis=axis)]
    shape = [size for place, size in enumerate((3, 4, 5)) if place != axis]
    made = model(nodes, [tensor("x", [3, 4, 5])], [tensor("y", shape)], [constant("at", index)])
    manifest, session = compiled(tmp_path, made)
    x = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    found = session.run({"x": x})["y"]
    np.testing.assert_array_equal(found, np.take(x, index, axis=axis))
    assert manifest.outputs[0].shape == found.shape


def test_a_single_number_goes_in_without_axes(tmp_path: Path) -> None:
    made = model([node("Mul", "x s", "y")], [tensor("x", [3]), tensor("s", [])], [tensor("y", [3])])
    _, session = compiled(tmp_path, made)
    found = session.run({"x": np.ones(3, np.float32), "s": np.array(4, np.float32)})["y"]
    np.testing.assert_array_equal(found, [4, 4, 4])


def test_an_input_or_a_constant_may_be_an_output(tmp_path: Path) -> None:
    nodes = [node("Relu", "x", "r"), node("Identity", "x", "same"), node("Identity", "k", "fixed")]
    outputs = [tensor("r", [2, 3]), tensor("same", [2, 3]), tensor("fixed", [2])]
    made = model(nodes, [tensor("x", [2, 3])], outputs, [constant("k", [7, 8], "float32")])
    _, session = compiled(tmp_path, made)
    x = np.array([[-1, 2, -3], [4, -5, 6]], np.float32)
    out = session.run({"x": x})
    np.testing.assert_array_equal(out["same"], x)
    np.testing.assert_array_equal(out["fixed"], [7, 8])


def test_two_outputs_of_one_value_are_both_there(tmp_path: Path) -> None:
    nodes = [node("Relu", "x", "r"), node("Identity", "r", "again")]
    made = model(nodes, [tensor("x", [2, 3])], [tensor("r", [2, 3]), tensor("again", [2, 3])])
    manifest, session = compiled(tmp_path, made)
    assert [spec.name for spec in manifest.outputs] == ["r", "again"]
    out = session.run({"x": np.ones((2, 3), np.float32)})
    np.testing.assert_array_equal(out["r"], out["again"])


def test_an_output_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    made = model([node("Relu", "x", "r")], [tensor("x", [2])], [tensor("r", [2]), tensor("r", [2])])
    with pytest.raises(ModelError, match="output 'r' is listed 2 times"):
        read_onnx(saved(tmp_path / "model.onnx", made), {})


def test_names_that_are_no_identifiers_are_kept(tmp_path: Path) -> None:
    made = model(
        [node("Sub", "input.1 0", "out/put:0")],
        [tensor("input.1", [2]), tensor("0", [2])],
        [tensor("out/put:0", [2])],
    )
    _, session = compiled(tmp_path, made)
    out = session.run({"0": np.array([1, 2], np.float32), "input.1": np.array([5, 7], np.float32)})
    np.testing.assert_array_equal(out["out/put:0"], [4, 5])


def test_an_input_that_nothing_reads_is_kept(tmp_path: Path) -> None:
    made = model([node("Relu", "b", "y")], [tensor("a", [4]), tensor("b", [2])], [tensor("y", [2])])
    manifest, session = compiled(tmp_path, made)
    assert [spec.name for spec in manifest.inputs] == ["a", "b"]
    out = session.run({"a": np.zeros(4, np.float32), "b": np.array([-1, 1], np.float32)})
    np.testing.assert_array_equal(out["y"], [0, 1])


def if_model() -> onnx.ModelProto:
    def branch(name: str, operator: str) -> onnx.GraphProto:
        return helper.make_graph([node(operator, "x", name)], name, [], [tensor(name, [2, 3])])

    chosen = node("If", "flag", "y", then_branch=branch("a", "Relu"), else_branch=branch("b", "Neg"))
    return model([chosen], [tensor("flag", [], TensorProto.BOOL), tensor("x", [2, 3])], [tensor("y", [2, 3])])


def test_a_branch_compiles_to_both_of_its_sides(tmp_path: Path) -> None:
    _, session = compiled(tmp_path, if_model())
    x = np.array([[-1, 2, -3], [4, -5, 6]], np.float32)
    np.testing.assert_array_equal(session.run({"flag": np.array(True), "x": x})["y"], np.maximum(x, 0))
    np.testing.assert_array_equal(session.run({"flag": np.array(False), "x": x})["y"], -x)


def text_model() -> onnx.ModelProto:
    return model(
        [node("Identity", "x", "y")],
        [tensor("x", [1], TensorProto.STRING)],
        [tensor("y", [1], TensorProto.STRING)],
    )


def without_rank() -> onnx.ModelProto:
    made = add_net()
    made.graph.input[0].type.tensor_type.ClearField("shape")
    return made


@pytest.mark.parametrize(
    ("make", "message"),
    [(text_model, "element type STRING, which is not supported"), (without_rank, "has no rank")],
)
def test_inputs_that_are_no_arrays_of_numbers_are_refused(
    tmp_path: Path, make: Callable[[], onnx.ModelProto], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        read_onnx(saved(tmp_path / "model.onnx", make()), {})


def test_an_operator_that_tvm_does_not_have_is_named_with_its_stage(tmp_path: Path) -> None:
    made = model([node("Det", "x", "y")], [tensor("x", [3, 3])], [tensor("y", [])])
    with pytest.raises(CompileError, match=r"stage 'import' failed.*Det") as caught:
        compile_model(saved(tmp_path / "model.onnx", made), tmp_path / "artifact")
    assert caught.value.stage == "import"
    assert not (tmp_path / "artifact").exists()
