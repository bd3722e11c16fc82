"""NaN and infinities: the answers of ONNX Runtime. Masks of -inf live there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.cases.agreement import Both
from tests.compiler.models import constant, model, node, tensor
from tests.compiler.relaxed import Array

INF, NAN = float("inf"), float("nan")
SPECIAL = (NAN, INF, -INF, 0.0)
SHAPE = (2, 16, 16)
AXES: tuple[Any, ...] = ([0], [1], [-1], [0, 1], [1, 2], [0, -1], None)


def scattered(values: tuple[float, ...], share: float, seed: int, shape: tuple[int, ...] = SHAPE) -> Array:
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal(shape)
    return np.where(rng.random(shape) < share, rng.choice(values, shape), normal).astype(np.float32)


def filled(value: float, shape: tuple[int, ...] = SHAPE) -> Array:
    return np.full(shape, value, np.float32)


UNARY = ("Relu", "Sign", "Erf", "ThresholdedRelu", "Celu", "Clip", "Sigmoid", "Tanh", "Exp", "Log")


def asked(nodes: Sequence[onnx.NodeProto]) -> list[onnx.ValueInfoProto]:
    return [helper.make_empty_tensor_value_info(each.output[0]) for each in nodes]


@pytest.fixture(scope="module")
def element_wise(tmp_path_factory: pytest.TempPathFactory) -> Both:
    numbers = {"half": 0.5, "zero": 0.0, "none": NAN, "low": -INF}
    pairs = ("x y", "x z", "x y z", "x", *(f"x {name}" for name in numbers), "none x", "low x")
    nodes = [
        node(kind, pair, f"{kind}:{pair.replace(' ', ',')}") for kind in ("Max", "Min") for pair in pairs
    ]
    nodes += [node(kind, "x", kind) for kind in UNARY]
    nodes.append(node("Pow", "x half", "root"))
    inputs = [tensor("x", SHAPE), tensor("y", SHAPE), tensor("z", SHAPE[-1:])]
    kept = [constant(name, value, "float32") for name, value in numbers.items()]
    return Both(tmp_path_factory.mktemp("element"), model(nodes, inputs, asked(nodes), kept, opset=18))


@pytest.mark.parametrize("seed", range(3))
def test_max_min_and_their_like_keep_nan_and_infinities(element_wise: Both, seed: int) -> None:
    x, y = scattered(SPECIAL, 0.4, seed), scattered(SPECIAL, 0.4, seed + 10)
    z = scattered(SPECIAL, 0.4, seed, SHAPE[-1:])
    assert element_wise.differing({"x": x, "y": y, "z": z}) == []


@pytest.mark.parametrize("value", [INF, -INF, NAN])
def test_max_min_and_their_like_of_one_special_number(element_wise: Both, value: float) -> None:
    feeds = {"x": filled(value), "y": filled(value), "z": filled(value, SHAPE[-1:])}
    assert element_wise.differing(feeds) == []


@pytest.fixture(scope="module")
def reductions(tmp_path_factory: pytest.TempPathFactory) -> Both:
    nodes, kept = [], []
    for place, axes in enumerate(AXES):
        kept += [] if axes is None else [constant(f"axes{place}", axes, "int64")]
        inputs = "x" if axes is None else f"x axes{place}"
        name = "all" if axes is None else ",".join(map(str, axes))
        kinds = ("ReduceMax", "ReduceMin", "ReduceLogSumExp")
        nodes += [node(kind, inputs, f"{kind}:{name}", keepdims=place % 2) for kind in kinds]
    made = model(nodes, [tensor("x", SHAPE)], asked(nodes), kept, opset=18)
    return Both(tmp_path_factory.mktemp("reductions"), made)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_reductions_of_infinities(reductions: Both, share: float) -> None:
    for sign in (1, -1):
        data = sign * scattered((INF,), share, seed=3)
        assert reductions.differing({"x": data.astype(np.float32)}) == []


@pytest.mark.parametrize("value", [INF, -INF, NAN, np.finfo(np.float32).min])
def test_reductions_of_one_special_number(reductions: Both, value: float) -> None:
    assert reductions.differing({"x": filled(value)}) == []


def test_a_maximum_is_none_where_the_first_is_none_and_passes_over_any_other(reductions: Both) -> None:
    data = scattered((0.0,), 0.0, seed=5)
    data[0, 0, 0] = data[1, 3, 4] = NAN
    data[1, 3, 5] = 50  # what stands behind a NaN counts, and so does what stands before
    found = reductions.ours.run({"x": data})["ReduceMax:-1"]
    assert np.isnan(found[0, 0])
    assert found[1, 3] == 50
    data[1, 3, 3] = 60
    assert reductions.ours.run({"x": data})["ReduceMax:-1"][1, 3] == 60


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Both:
    nodes, inputs = [], []
    for axes in (1, 2, 3):
        inputs.append(tensor(f"x{axes}", [1, 3, *[6] * axes]))
        for taps, step in ((1, 2), (2, 2), (3, 1)):
            nodes.append(
                node(
                    "MaxPool",
                    f"x{axes}",
                    f"axes:{axes},taps:{taps}",
                    kernel_shape=[taps] * axes,
                    strides=[step] * axes,
                )
            )
        nodes.append(node("GlobalMaxPool", f"x{axes}", f"axes:{axes},all"))
    return Both(tmp_path_factory.mktemp("pools"), model(nodes, inputs, asked(nodes), opset=18))


def test_max_pools_of_infinities(pools: Both) -> None:
    for share in (0.5, 1.0):
        feeds = {
            f"x{axes}": scattered((-INF,), share, seed=axes, shape=(1, 3, *[6] * axes)) for axes in (1, 2, 3)
        }
        assert pools.differing(feeds) == []


def test_a_max_pool_of_two_axes_passes_over_nan(pools: Both) -> None:
    data = scattered((0.0,), 0.0, seed=5, shape=(1, 3, 6, 6))
    wanted = data.reshape(1, 3, 3, 2, 3, 2).max((3, 5))
    corner = data[0, 0, :2, :2]
    corner[corner == corner.min()] = NAN
    zeros = {f"x{axes}": np.zeros((1, 3, *[6] * axes), np.float32) for axes in (1, 3)}
    found = pools.ours.run({**zeros, "x2": data})["axes:2,taps:2"]
    np.testing.assert_array_equal(found, wanted)


def test_a_row_that_is_masked_whole_is_no_number_after_softmax(tmp_path: Path) -> None:
    made = model([node("Softmax", "x", "y")], [tensor("x", [3, 20])], [tensor("y", [3, 20])], opset=18)
    data = scattered((-INF,), 0.3, seed=1, shape=(3, 20))
    data[1] = -INF
    assert Both(tmp_path, made).differing({"x": data}) == []


def test_what_is_not_finite_has_no_identities(tmp_path: Path) -> None:
    names = ("Sub", "Div", "Equal", "GreaterOrEqual", "LessOrEqual", "Less")
    nodes = [node(kind, "x x", kind) for kind in names]
    nodes += [node("Concat", "x x", "twice", axis=0), node("Equal", "twice twice", "both")]
    nodes += [node("Mul", "x zero", "by_zero"), node("Mul", "zero x", "zero_by")]
    kept = [constant("zero", 0.0, "float32")]
    both = Both(tmp_path, model(nodes, [tensor("x", SHAPE)], asked(nodes), kept, opset=18))
    for seed in range(2):
        assert both.differing({"x": scattered(SPECIAL, 0.4, seed)}) == []


def test_quantized_nan_is_the_least(tmp_path: Path) -> None:
    nodes = [node("QuantizeLinear", f"x scale {kind}", f"to_{kind}") for kind in ("int8", "uint8")]
    kept = [constant(kind, 3, kind) for kind in ("int8", "uint8")] + [constant("scale", 0.1, "float32")]
    both = Both(tmp_path, model(nodes, [tensor("x", SHAPE)], asked(nodes), kept, opset=18))
    assert both.differing({"x": scattered(SPECIAL, 0.4, 0)}) == []


def test_exp_ends_where_the_type_does(tmp_path: Path) -> None:
    nodes = [node("Exp", "x", "e"), node("Log", "e", "back"), node("Sinh", "x", "s"), node("Cosh", "x", "c")]
    both = Both(tmp_path, model(nodes, [tensor("x", [160])], asked(nodes), opset=18))
    for low, high in ((-87, 88.7), (88.8, 1e30), (-1e30, -104.5)):
        data = np.linspace(low, high, 160, dtype=np.float32)
        assert both.differing({"x": data}, rtol=1e-4) == []
    assert both.differing({"x": scattered(SPECIAL, 1.0, 0, (160,))}) == []


def test_what_fits_no_whole_number_becomes_the_least(tmp_path: Path) -> None:
    nodes = [node("Cast", "x", f"to{to}", to=to) for to in (6, 7)]
    outputs = [tensor("to6", [8], 6), tensor("to7", [8], 7)]
    both = Both(tmp_path, model(nodes, [tensor("x", [8])], outputs, opset=18))
    data = np.array([NAN, INF, -INF, 3e9, -3e9, 1e20, -7.9, 2.5], np.float32)
    assert both.differing({"x": data}) == []
