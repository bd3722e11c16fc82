"""What can't be compiled stops the compile by name, or runs in ONNX Runtime as segments of the artifact."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from modeldyno.base.errors import CompileError, ConfigError, CoverageError, ModelError, ParityError
from modeldyno.compiler.fallback import cut as fallback
from modeldyno.compiler.models import compile_model
from modeldyno.compiler.options import Options
from modeldyno.compiler.request import CompileRequest
from modeldyno.compiler.whole import compile_whole
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.sessions.feeds import random_feeds
from modeldyno.runtime.tools.inspection import compiled_lines
from tests.compiler.models import constant, conv_net, det_net, model, node, saved, tensor, text_net, weights

FALLBACK = Options(fallback="onnxruntime")


def compiled(tmp_path: Path, made: onnx.ModelProto, options: Options = FALLBACK) -> Manifest:
    return compile_model(saved(tmp_path / "model.onnx", made), tmp_path / "artifact", options=options)


def engines(manifest: Manifest) -> list[str]:
    return [segment.engine for segment in manifest.segments]


def assert_right(tmp_path: Path, seed: int = 3) -> None:
    """The artifact agrees with ONNX Runtime on inputs that parity was not checked on."""
    session = open_session(tmp_path / "artifact", 1)
    feeds = random_feeds(session.inputs, seed)
    reference = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    expected = reference.run([spec.name for spec in session.outputs], feeds)
    for wanted, found in zip(expected, session.run(feeds).values(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def weight_of(tmp_path: Path) -> Any:
    return onnx.numpy_helper.to_array(onnx.load(tmp_path / "model.onnx").graph.initializer[0])


def test_a_model_in_segments_has_one_digest_whenever_it_is_compiled(tmp_path: Path) -> None:
    first = compiled(tmp_path, det_net())
    again = compiled(tmp_path, det_net(), replace(FALLBACK, verify=False))  # other manifests, the same code
    assert first.segments[0].digest != again.segments[0].digest
    assert first.model_digest == again.model_digest


def test_without_fallback_an_operator_that_can_not_be_compiled_stops_the_compile(tmp_path: Path) -> None:
    with pytest.raises(CompileError) as caught:
        compiled(tmp_path, det_net(), Options())
    assert "Det (node 'area', domain ai.onnx, opset 17): unknown to the front end" in str(caught.value)
    assert "1 of 7 operators can't be compiled" in str(caught.value)
    assert "`fallback=onnxruntime` runs them there" in str(caught.value)
    assert "Det" in caught.value.operators
    assert not (tmp_path / "artifact").exists()


def test_two_kinds_of_operators_are_both_named(tmp_path: Path) -> None:
    nodes = [node("Det", "x", "d", name="one"), node("Det", "z", "e", name="two"), node("Add", "d e", "s")]
    nodes += [node("Hardmax", "s", "h"), node("TfIdfVectorizer", "ids", "t", name="terms", **TERMS)]
    inputs = [tensor("x", [2, 3, 3]), tensor("z", [2, 3, 3]), tensor("ids", [6], TensorProto.INT64)]
    made = model(nodes, inputs, [tensor("h", [2]), tensor("t", [2])])
    with pytest.raises(
        CompileError, match=r"3 of 5 operators .*TfIdf.*Det \(node '\w+' and 1 more, "
    ) as caught:
        compiled(tmp_path, made, Options())
    assert sorted(caught.value.operators) == ["Det", "TfIdfVectorizer"]


TERMS: dict[str, Any] = {
    "mode": "TF",
    "min_gram_length": 1,
    "max_gram_length": 1,
    "max_skip_count": 0,
    "ngram_counts": [0],
    "ngram_indexes": [0, 1],
    "pool_int64s": [0, 1],
}


def test_an_operator_in_the_middle_is_a_segment_between_compiled_ones(tmp_path: Path) -> None:
    manifest = compiled(tmp_path, det_net())
    assert engines(manifest) == ["compiled", "onnxruntime", "compiled"]
    assert [segment.operators for segment in manifest.segments] == [4, 1, 2]
    middle = manifest.segments[1]
    assert (middle.inputs, middle.outputs) == (("r",), ("d",))
    assert [(each.operator, each.node, each.opset) for each in middle.not_compiled] == [("Det", "area", 17)]
    assert manifest.parity is not None
    assert manifest.needs_onnxruntime
    assert_right(tmp_path)


def test_the_share_is_counted_by_operators_and_by_flops(tmp_path: Path) -> None:
    found = compiled(tmp_path, det_net()).coverage
    assert found is not None
    conv, gemm = 2 * 16 * 144 * 27, 2 * 5 * 16
    others = {"Tanh": 16 * 144, "GlobalAveragePool": 16, "Flatten": 16, "Add": 16}
    rest = conv + gemm + sum(others.values())
    assert found.operators_share == 6 / 7
    assert found.flops == rest + 16  # Det gives 16 numbers
    assert found.flops_share == pytest.approx(rest / (rest + 16))
    assert found.fallback == ("Det",)


def test_a_model_of_which_all_compiles_has_no_segments(tmp_path: Path) -> None:
    manifest = compiled(tmp_path, conv_net())
    assert manifest.segments == ()
    assert manifest.coverage is not None
    assert (manifest.coverage.operators_share, manifest.coverage.flops_share) == (1.0, 1.0)
    assert not manifest.needs_onnxruntime


def test_a_model_of_which_nothing_compiles_is_one_segment_and_says_so(tmp_path: Path) -> None:
    made = model([node("Det", "x", "y")], [tensor("x", [2, 3, 3])], [tensor("y", [2])])
    manifest = compiled(tmp_path, made)
    assert engines(manifest) == ["onnxruntime"]
    assert compiled_lines(manifest)[0] == "compiled: 0 % compiled: all operators run in ONNX Runtime: Det"
    assert manifest.target.features == ()
    assert_right(tmp_path)


def test_text_goes_in_and_stays_inside_the_segments_of_onnx_runtime(tmp_path: Path) -> None:
    manifest = compiled(tmp_path, text_net())
    assert engines(manifest) == ["onnxruntime", "compiled"]
    assert "STRING" in manifest.segments[0].not_compiled[0].why
    session = open_session(tmp_path / "artifact", 1)
    words = np.array([["a", "b", "a", "b"], ["b", "b", "b", "?"]])
    weight = onnx.numpy_helper.to_array(text_net().graph.initializer[0])
    numbers = np.array([[1, 2, 1, 2], [2, 2, 2, -1]], np.float32)
    for given in (words, words.astype(object)):
        np.testing.assert_allclose(session.run({"words": given})["y"], numbers @ weight, rtol=1e-5)


def test_text_without_fallback_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"element type STRING.*`fallback=onnxruntime`"):
        compiled(tmp_path, text_net(), Options())


def test_a_sequence_goes_in_and_comes_out(tmp_path: Path) -> None:
    kind = onnx.helper.make_tensor_sequence_value_info
    made = model(
        [node("SequenceInsert", "many x", "more")],
        [kind("many", TensorProto.FLOAT, [2]), tensor("x", [2])],
        [kind("more", TensorProto.FLOAT, [2])],
    )
    manifest = compiled(tmp_path, made)
    assert "no random input can be made for 'many', a sequence(tensor(float))" in manifest.parity_skipped
    session: Any = open_session(tmp_path / "artifact", 1)
    one, two = np.ones(2, np.float32), np.zeros(2, np.float32)
    found = session.run({"many": [one], "x": two})["more"]
    np.testing.assert_array_equal(found, [one, two])


def test_shapes_that_are_known_only_when_it_runs_stay_in_onnx_runtime(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w", "h"), node("NonZero", "h", "where"), node("Det", "x", "d")]
    nodes += [node("Transpose", "where", "places"), node("Mul", "h d", "y")]
    outputs = [tensor("places", [None, 2], TensorProto.INT64), tensor("y", [4, 4])]
    manifest = compiled(tmp_path, model(nodes, [tensor("x", [4, 4])], outputs, [weights("w", 4, 4)]))
    kept = {each.operator for segment in manifest.segments for each in segment.not_compiled}
    assert {"Det", "Transpose"} <= kept
    assert manifest.coverage is not None
    assert manifest.coverage.flops_share is not None  # the sizes of a run on the checked input are counted
    assert_right(tmp_path, seed=0)
    session = open_session(tmp_path / "artifact", 1)
    for ones in (3, 1, 4):  # one session, and a result of another size each time
        rows = np.diag([1.0] * ones + [0.0] * (4 - ones)).astype(np.float32)
        found = session.run({"x": rows})
        assert found["places"].shape == (4 * ones, 2)
        np.testing.assert_allclose(found["y"], rows @ weight_of(tmp_path) * (ones == 4), atol=1e-6)


def test_an_operator_whose_compiled_results_differ_runs_in_onnx_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def misread(request: CompileRequest, output: Path) -> Manifest:
        """Give the wrong results where a Tanh is compiled."""
        if not any(each.op_type == "Tanh" for each in request.source.model.graph.node):
            return compile_whole(request, output)
        raise ParityError("differs", stage="verify", target="host")

    monkeypatch.setattr(fallback, "compile_whole", misread)
    monkeypatch.setattr("modeldyno.compiler.fallback.probe.compile_whole", misread)
    made = conv_net()
    made.graph.node[2].op_type = "Tanh"
    manifest = compiled(tmp_path, made)
    assert engines(manifest) == ["compiled", "onnxruntime", "compiled"]
    assert [each.operator for each in manifest.segments[1].not_compiled] == ["Tanh"]
    assert_right(tmp_path)


def test_operators_that_fail_together_alone_are_parted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(request: CompileRequest, output: Path) -> Manifest:
        if {"Tanh", "Gemm"} <= {each.op_type for each in request.source.model.graph.node}:
            raise CompileError("they don't go together", stage="fuse", target="host")
        return compile_whole(request, output)

    monkeypatch.setattr(fallback, "compile_whole", fails)
    made = conv_net()
    made.graph.node[2].op_type = "Tanh"
    manifest = compiled(tmp_path, made)
    (set_aside,) = [each for segment in manifest.segments for each in segment.not_compiled]
    assert set_aside.operator == "Gemm"
    assert "they don't go together" in set_aside.why
    assert_right(tmp_path)


def test_the_gate_keeps_no_artifact_and_exits_1(tmp_path: Path) -> None:
    with pytest.raises(
        CoverageError, match=r"99\.98. % of its FLOPs .* asks for 99\.999 %.*: Det\."
    ) as caught:
        compiled(tmp_path, det_net(), replace(FALLBACK, min_compiled=0.99999))
    assert caught.value.exit_code == 1
    assert not (tmp_path / "artifact").exists()
    assert compiled(tmp_path, det_net(), replace(FALLBACK, min_compiled=0.999)).segments


def test_an_output_that_nothing_computes_is_given_too(tmp_path: Path) -> None:
    made = model(
        [node("Det", "x", "d"), node("Relu", "x", "r"), node("Identity", "c", "same")],
        [tensor("x", [2, 3, 3])],
        [tensor("d", [2]), tensor("r", [2, 3, 3]), tensor("same", [2], TensorProto.INT64)],
        [constant("c", [4, 5])],
    )
    compiled(tmp_path, made)
    assert_right(tmp_path)


def test_a_manifest_says_why_parity_was_not_checked(tmp_path: Path) -> None:
    assert "--no-verify" in compiled(tmp_path, det_net(), replace(FALLBACK, verify=False)).parity_skipped
    foreign = compile_model(tmp_path / "model.onnx", tmp_path / "arm", target="neoverse-v1", options=FALLBACK)
    assert "can't run code for neoverse-v1" in foreign.parity_skipped
    assert engines(foreign) == ["compiled", "onnxruntime", "compiled"]


def test_a_manifest_of_segments_says_which_road_the_model_took(tmp_path: Path) -> None:
    road = compiled(tmp_path, det_net(), FALLBACK).road
    assert road is not None
    assert road.name == "onnx"


def test_fallback_is_for_onnx_models(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(ConfigError, match="export this one to ONNX"):
        compile_model(
            torch.nn.Linear(2, 2), tmp_path / "out", example_inputs=(torch.zeros(1, 2),), options=FALLBACK
        )


def test_an_operator_that_is_wrong_on_one_kind_of_inputs_alone_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modeldyno.compiler.graph.rewrite import rewrite
    from modeldyno.compiler.stages import cpu
    from tests.compiler.relaxed import with_stage

    def capped(_builder: Any, _var: Any, value: Any) -> Any:
        """Cap what Abs gives at 100: a fault that normal inputs do not show."""
        from tvm import relax

        if not isinstance(value, relax.Call) or getattr(value.op, "name", "") != "relax.abs":
            return value
        return relax.op.minimum(value, relax.const(100.0, "float32"))

    monkeypatch.setattr(cpu, "CPU", with_stage(1, "spoil", lambda module: rewrite(module, capped)))
    nodes = [node("MatMul", "x w", "h"), node("Abs", "h", "a"), node("MatMul", "a w2", "y")]
    made = model(
        nodes, [tensor("x", [4, 8])], [tensor("y", [4, 5])], [weights("w", 8, 8), weights("w2", 8, 5)]
    )
    manifest = compiled(tmp_path, made)
    assert manifest.coverage is not None
    assert manifest.coverage.fallback == ("Abs",)
    assert manifest.parity is not None
    assert "large" in [sample.kind for sample in manifest.parity.samples]
