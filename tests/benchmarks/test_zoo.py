"""The zoo's models are built, and what comes out is sane."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from benchmarks.compile.quantised import QUANTISED, quantised
from benchmarks.feeds import load_feeds, model_feeds, save_feeds
from benchmarks.flops import model_flops
from benchmarks.zoo.registry import ZOO, onnx_file
from tests.compiler.models import conv_net, saved


# One of the onnx package's graphs, one of torch's; known operations: twice the published multiply-adds.
@pytest.mark.parametrize(("name", "gflop"), [("squeezenet", 0.70), ("mobilenet_v2", 0.60)])
def test_a_model_is_built_with_sane_values(name: str, gflop: float, tmp_path: Path) -> None:
    path = onnx_file(name, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [f"{name}.onnx"]
    assert model_flops(path) / 1e9 == pytest.approx(gflop, abs=0.01)
    for layer in every_float_tensor(path):
        assert np.isfinite(layer).all()
        # A denormal number costs a hundred times what another does: one would spoil every figure.
        assert not np.any((layer != 0) & (np.abs(layer) < np.finfo(np.float32).tiny))
        assert layer.size < 100 or 1e-3 < layer.std() < 1e3


def test_a_file_in_the_cache_is_not_built_again(tmp_path: Path) -> None:
    (tmp_path / "resnet50.onnx").write_bytes(b"mine")
    assert onnx_file("resnet50", tmp_path).read_bytes() == b"mine"


def test_the_benchmark_has_the_families_that_it_promises() -> None:
    assert {
        "resnet50",
        "vgg16",
        "densenet121",
        "inception_v3",
        "ssd_resnet50",
        "bert_base",
        "vit_b16",
    } <= set(ZOO)
    batched = {name: card for name, card in ZOO.items() if name.endswith("@8")}
    assert batched.keys() == {"resnet50@8", "mobilenet_v2@8", "minilm_l6@8"}
    assert {card.batch for card in batched.values()} == {8}


def test_token_ids_span_the_vocabulary_and_the_mask_is_ones(tmp_path: Path) -> None:
    shape = (2, 128)
    ids, mask, image = (
        onnx.helper.make_tensor_value_info(name, kind, size)
        for name, kind, size in (
            ("input_ids", onnx.TensorProto.INT64, shape),
            ("attention_mask", onnx.TensorProto.INT64, shape),
            ("file", onnx.TensorProto.FLOAT, (1, 3, 4, 4)),
        )
    )
    graph = onnx.helper.make_graph([], "test", [ids, mask, image], [])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "model.onnx")
    save_feeds(tmp_path / "feeds.npz", model_feeds(tmp_path / "model.onnx"))
    feeds = load_feeds(tmp_path / "feeds.npz")
    assert list(feeds) == ["input_ids", "attention_mask", "file"]
    assert feeds["input_ids"].dtype == np.int64
    assert 15_000 < feeds["input_ids"].max() < 30_522
    assert feeds["input_ids"].min() >= 0
    assert (feeds["attention_mask"] == 1).all()
    assert feeds["file"].std() == pytest.approx(1.0, abs=0.3)


def every_float_tensor(path: Path) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """Run the graph as it stands and return every float tensor in it (but masks of Dropout)."""
    model = onnx.load(path)
    names = [node.output[0] for node in model.graph.node]
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    found = session.run(None, model_feeds(path))
    return [array for array in found if array.dtype == np.float32]


def test_a_twin_is_the_model_with_pairs(tmp_path: Path) -> None:
    """Quantised by the package, from a file that lies in the cache."""
    net = conv_net()
    path = saved(tmp_path / "net.onnx", net)
    made = onnx.load(quantised(path, tmp_path, per_channel=False))
    kinds = [node.op_type for node in made.graph.node]
    assert kinds.count("QuantizeLinear") > 4
    assert kinds.count("Conv") == 1
    assert [value.name for value in made.graph.input] == [value.name for value in net.graph.input]


def test_every_model_has_a_twin_and_none_is_measured_unasked() -> None:
    assert QUANTISED["resnet50-qdq"] == "resnet50"
    assert set(QUANTISED.values()) == set(ZOO)
    assert not set(QUANTISED) & set(ZOO)
