"""The kernels against numpy in float64, over shapes picked by hypothesis, for three vector widths."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tvm import relax

from modeldyno.compiler.targets.machine import Machine
from tests.compiler.relaxed import AVX512, MACHINES, module, run_staged

Array = npt.NDArray[Any]
CHANNELS = st.sampled_from([1, 3, 16, 17, 32, 33])
SIZES = st.sampled_from([1, 5, 7, 13, 14])
PADDING = st.tuples(*[st.integers(0, 3)] * 4)  # top, left, bottom, right

few = settings(
    max_examples=4, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
on_each_machine = pytest.mark.parametrize("machine", MACHINES, ids=["16 lanes", "8 lanes", "4 lanes"])


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def assert_close(found: Array, expected: Array) -> None:
    assert found.shape == expected.shape
    largest = max(1.0, float(np.abs(expected).max()))
    assert float(np.abs(found - expected).max()) <= 2e-5 * largest


def conv_reference(
    data: Array,
    weight: Array,
    *,
    strides: tuple[int, int],
    padding: tuple[int, ...],
    dilation: tuple[int, int],
    groups: int,
) -> Array:
    """Convolve NCHW data with OIHW weights in float64, one filter tap at a time."""
    top, left, bottom, right = padding
    padded = np.pad(data.astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)))
    out, depth, kernel_h, kernel_w = weight.shape
    height = (padded.shape[2] - dilation[0] * (kernel_h - 1) - 1) // strides[0] + 1
    width = (padded.shape[3] - dilation[1] * (kernel_w - 1) - 1) // strides[1] + 1
    grouped = padded.reshape(padded.shape[0], groups, depth, *padded.shape[2:])
    filters = weight.astype(np.float64).reshape(groups, out // groups, depth, kernel_h, kernel_w)
    total = np.zeros((data.shape[0], groups, out // groups, height, width))
    for row in range(kernel_h):
        for column in range(kernel_w):
            y, x = row * dilation[0], column * dilation[1]
            part = grouped[
                ..., y : y + strides[0] * height : strides[0], x : x + strides[1] * width : strides[1]
            ]
            total += np.einsum("ngihw,goi->ngohw", part[..., :height, :width], filters[..., row, column])
    return total.reshape(data.shape[0], out, height, width)


@st.composite
def convolutions(draw: Any, groups: Any = None) -> dict[str, Any]:
    grouping, per_in, per_out = draw(groups) if groups is not None else (1, draw(CHANNELS), draw(CHANNELS))
    kernel = draw(st.tuples(*[st.sampled_from([1, 3, 5, 7])] * 2))
    dilation = draw(st.tuples(*[st.sampled_from([1, 2])] * 2))
    padding = list(draw(PADDING))
    size = list(draw(st.tuples(SIZES, SIZES)))
    for axis in (0, 1):  # the filter must fit
        reach = dilation[axis] * (kernel[axis] - 1) + 1
        padding[axis] += max(0, reach - size[axis] - padding[axis] - padding[axis + 2])
    return {
        "batch": draw(st.sampled_from([1, 2])),
        "groups": grouping,
        "depth": per_in,
        "out": per_out * grouping,
        "size": tuple(size),
        "kernel": kernel,
        "strides": draw(st.tuples(*[st.sampled_from([1, 2, 3])] * 2)),
        "padding": tuple(padding),
        "dilation": dilation,
        "tail": draw(st.sampled_from(["none", "bias, relu", "bias, residual, relu"])),
    }


def check_conv(machine: Machine, case: dict[str, Any]) -> None:
    shape = (case["batch"], case["depth"] * case["groups"], *case["size"])
    data, weight = normal(*shape), normal(case["out"], case["depth"], *case["kernel"], seed=1)
    bias = normal(1, case["out"], 1, 1, seed=2)
    expected = conv_reference(
        data, weight, **{name: case[name] for name in ("strides", "padding", "dilation", "groups")}
    )
    residual = normal(*expected.shape, seed=3)

    def body(builder: Any, x: Any, *rest: Any) -> Any:
        attributes = {name: case[name] for name in ("strides", "padding", "dilation", "groups")}
        out = builder.emit(relax.op.nn.conv2d(x, relax.const(weight), **attributes))
        if case["tail"] != "none":
            out = builder.emit(relax.op.add(out, relax.const(bias)))
        if rest:
            out = builder.emit(relax.op.add(out, rest[0]))
        return out if case["tail"] == "none" else builder.emit(relax.op.nn.relu(out))

    inputs = [data]
    if case["tail"] != "none":
        expected = expected + bias
    if "residual" in case["tail"]:
        inputs.append(residual)
        expected = expected + residual
    if case["tail"] != "none":
        expected = np.maximum(expected, 0)
    assert_close(run_staged(module([each.shape for each in inputs], body), machine, *inputs)[0], expected)


@on_each_machine
@few
@given(case=convolutions())
def test_convolutions_equal_numpy(machine: Machine, case: dict[str, Any]) -> None:
    check_conv(machine, case)


@on_each_machine
@few
@given(case=convolutions(st.tuples(st.sampled_from([1, 3, 16, 17, 24, 32, 33, 64]), st.just(1), st.just(1))))
def test_depthwise_convolutions_equal_numpy(machine: Machine, case: dict[str, Any]) -> None:
    check_conv(machine, case)


@few
@given(
    case=convolutions(
        st.tuples(st.sampled_from([2, 3, 4]), st.sampled_from([1, 2, 5, 16]), st.sampled_from([1, 2, 8]))
    )
)
def test_grouped_convolutions_equal_numpy(case: dict[str, Any]) -> None:
    check_conv(AVX512, case)


DIMENSIONS = st.sampled_from([1, 2, 5, 7, 16, 17, 31, 33, 48])


@on_each_machine
@few
@given(
    lead=st.sampled_from([(), (1,), (3,), (2, 3)]),
    sizes=st.tuples(DIMENSIONS, DIMENSIONS, DIMENSIONS),
    tail=st.sampled_from(["none", "bias, relu", "bias, residual"]),
)
def test_dense_layers_equal_numpy(
    machine: Machine, lead: tuple[int, ...], sizes: tuple[int, int, int], tail: str
) -> None:
    rows, depth, columns = sizes
    data, weight, bias = normal(*lead, rows, depth), normal(depth, columns, seed=1), normal(columns, seed=2)
    residual = normal(*lead, rows, columns, seed=3)

    def body(builder: Any, x: Any, other: Any) -> Any:
        out = builder.emit(relax.op.matmul(x, relax.const(weight)))
        if tail != "none":
            out = builder.emit(relax.op.add(out, relax.const(bias)))
        if tail == "bias, relu":
            out = builder.emit(relax.op.nn.relu(out))
        return builder.emit(relax.op.add(out, other)) if "residual" in tail else out

    expected = data.astype(np.float64) @ weight.astype(np.float64)
    expected = expected + (bias if tail != "none" else 0)
    expected = np.maximum(expected, 0) if tail == "bias, relu" else expected
    expected = expected + (residual if "residual" in tail else 0)
    assert_close(run_staged(module([data.shape, residual.shape], body), machine, data, residual)[0], expected)


@on_each_machine
@few
@given(
    lead=st.sampled_from([(), (1,), (3,), (2, 3)]),
    sizes=st.tuples(DIMENSIONS, DIMENSIONS, DIMENSIONS),
    scaled=st.booleans(),
)
def test_products_of_two_activations_equal_numpy(
    machine: Machine, lead: tuple[int, ...], sizes: tuple[int, int, int], scaled: bool
) -> None:
    rows, depth, columns = sizes
    left, right = normal(*lead, rows, depth), normal(*lead, depth, columns, seed=1)

    def body(builder: Any, a: Any, b: Any) -> Any:
        out = builder.emit(relax.op.matmul(a, b))
        return builder.emit(relax.op.multiply(out, relax.const(np.float32(0.25)))) if scaled else out

    expected = left.astype(np.float64) @ right.astype(np.float64) * (0.25 if scaled else 1)
    assert_close(run_staged(module([left.shape, right.shape], body), machine, left, right)[0], expected)


def test_a_product_whose_right_side_is_a_transpose_equals_numpy() -> None:
    queries, keys = normal(2, 3, 7, 24), normal(2, 3, 9, 24, seed=1)

    def body(builder: Any, q: Any, k: Any) -> Any:
        turned = builder.emit(relax.op.permute_dims(k, (0, 1, 3, 2)))
        return builder.emit(relax.op.nn.softmax(builder.emit(relax.op.matmul(q, turned)), axis=-1))

    scores = queries.astype(np.float64) @ keys.astype(np.float64).swapaxes(-1, -2)
    expected = np.exp(scores - scores.max(-1, keepdims=True))
    expected /= expected.sum(-1, keepdims=True)
    found = run_staged(module([queries.shape, keys.shape], body), AVX512, queries, keys)[0]
    assert_close(found, expected)


def windows(
    data: Array, size: int, stride: int, *, padding: tuple[int, ...], ceil: bool, fill: float
) -> Array:
    """Cut NCHW data into the windows of a pooling; what lies beyond the data is `fill`."""
    top, left, bottom, right = padding
    counts, ends = [], []
    for extent, before, after in ((data.shape[2], top, bottom), (data.shape[3], left, right)):
        room = extent + before + after - size
        counts.append((-(-room // stride) if ceil else room // stride) + 1)
        if (
            ceil and (counts[-1] - 1) * stride >= extent + before
        ):  # a window that starts beyond the data is none
            counts[-1] -= 1
        ends.append((counts[-1] - 1) * stride + size - extent - before)
    edges = ((0, 0), (0, 0), (top, max(bottom, ends[0])), (left, max(right, ends[1])))
    padded = np.pad(data.astype(np.float64), edges, constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(2, 3))
    return view[:, :, ::stride, ::stride][:, :, : counts[0], : counts[1]]


@on_each_machine
@few
@given(
    channels=CHANNELS,
    size=st.sampled_from([7, 13, 14]),
    window=st.sampled_from([(2, 2), (3, 2), (3, 1)]),
    padding=st.tuples(*[st.integers(0, 1)] * 4),
    ceil=st.booleans(),
    kind=st.sampled_from(["max", "avg of all", "avg of inside"]),
    after_conv=st.booleans(),
)
def test_poolings_equal_numpy(
    machine: Machine,
    *,
    channels: int,
    size: int,
    window: tuple[int, int],
    padding: tuple[int, int, int, int],
    ceil: bool,
    kind: str,
    after_conv: bool,
) -> None:
    pool, stride = window
    data = normal(1, channels, size, size)
    attributes = {
        "pool_size": (pool, pool),
        "strides": (stride, stride),
        "padding": padding,
        "ceil_mode": ceil,
    }
    filters = np.eye(channels, dtype=np.float32).reshape(channels, channels, 1, 1)

    def body(builder: Any, x: Any) -> Any:
        if after_conv:  # a convolution that changes nothing, for its layout
            x = builder.emit(relax.op.nn.conv2d(x, relax.const(filters)))
        if kind == "max":
            return builder.emit(relax.op.nn.max_pool2d(x, **attributes))
        return builder.emit(relax.op.nn.avg_pool2d(x, **attributes, count_include_pad=kind == "avg of all"))

    if kind == "max":
        expected = windows(data, pool, stride, padding=padding, ceil=ceil, fill=-np.inf).max((-1, -2))
    else:
        ones = windows(np.ones_like(data), pool, stride, padding=padding, ceil=ceil, fill=0.0)
        padded = np.pad(
            np.ones_like(data), ((0, 0), (0, 0), padding[::2], padding[1::2]), constant_values=1.0
        )
        rows, columns = ones.shape[2:4]
        all_places = windows(padded, pool, stride, padding=(0, 0, 0, 0), ceil=ceil, fill=0.0)[
            :, :, :rows, :columns
        ]
        count = (all_places if kind == "avg of all" else ones).sum((-1, -2))
        expected = windows(data, pool, stride, padding=padding, ceil=ceil, fill=0.0).sum(
            (-1, -2)
        ) / np.maximum(count, 1)
    assert_close(run_staged(module([data.shape], body), machine, data)[0], expected)


@on_each_machine
@few
@given(
    shape=st.sampled_from([(3, 7), (2, 16), (2, 5, 33), (1, 4, 8, 64), (1000,)]),
    operator=st.sampled_from(["softmax", "mean", "max", "sum of all", "mean of rows", "layer_norm"]),
)
def test_reductions_equal_numpy(machine: Machine, shape: tuple[int, ...], operator: str) -> None:
    data, gamma, beta = normal(*shape), normal(shape[-1], seed=1), normal(shape[-1], seed=2)

    def body(builder: Any, x: Any) -> Any:
        calls = {
            "softmax": lambda: relax.op.nn.softmax(x, axis=-1),
            "mean": lambda: relax.op.mean(x, axis=[-1], keepdims=True),
            "max": lambda: relax.op.max(x, axis=[-1]),
            "sum of all": lambda: relax.op.sum(x),
            "mean of rows": lambda: relax.op.mean(x, axis=[0]),
            "layer_norm": lambda: relax.op.nn.layer_norm(
                x, relax.const(gamma), relax.const(beta), axes=[-1], epsilon=1e-5
            ),
        }
        return builder.emit(calls[operator]())

    wide = data.astype(np.float64)
    powers = np.exp(wide - wide.max(-1, keepdims=True))
    centred = wide - wide.mean(-1, keepdims=True)
    answers = {
        "softmax": powers / powers.sum(-1, keepdims=True),
        "mean": wide.mean(-1, keepdims=True),
        "max": wide.max(-1),
        "sum of all": wide.sum(),
        "mean of rows": wide.mean(0),
        "layer_norm": centred / np.sqrt(wide.var(-1, keepdims=True) + 1e-5) * gamma + beta,
    }
    assert_close(run_staged(module([shape], body), machine, data)[0], np.asarray(answers[operator]))
