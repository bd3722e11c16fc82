"""Convolutions of one and three axes and transposed ones, against PyTorch in float64, over odd shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tvm import relax

from modeldyno.compiler.graph.layout import channels_last
from modeldyno.compiler.graph.phases import (
    TransposedAxis,
    phase_filters,
    plan_axes,
    plan_axis,
    split_phases,
    wasted_share,
)
from modeldyno.compiler.graph.reshape_convs import reshape_convs
from modeldyno.compiler.models import compile_model
from modeldyno.runtime.open import open_session
from tests.compiler.models import model, node, saved, tensor, weights
from tests.compiler.relaxed import (
    AVX2,
    AVX512,
    MACHINES,
    Array,
    call_counts,
    module,
    run_default,
    run_staged,
    staged_until,
)

R = relax.op
OPERATORS = {
    ("conv", 1): R.nn.conv1d,
    ("conv", 2): R.nn.conv2d,
    ("conv", 3): R.nn.conv3d,
    ("transposed", 1): R.nn.conv1d_transpose,
    ("transposed", 2): R.nn.conv2d_transpose,
}
CHANNELS, SIZES = (1, 3, 17), (1, 5, 7, 13)


@dataclass(frozen=True)
class Conv:
    """A convolution of `axes` spatial axes, or a transposed one; `pads` are before all axes, then after."""

    kind: str
    axes: int
    batch: int
    per_in: int
    per_out: int
    groups: int
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: int
    gap: int
    pads: tuple[int, ...]
    extra: int = 0

    @property
    def weight(self) -> Array:
        sides = (self.per_out * self.groups, self.per_in)
        if self.kind == "transposed":
            sides = (self.per_in * self.groups, self.per_out)
        return np.random.default_rng(1).standard_normal((*sides, *self.kernel)).astype(np.float32)

    @property
    def data(self) -> Array:
        shape = (self.batch, self.per_in * self.groups, *self.size)
        return np.random.default_rng(0).standard_normal(shape).astype(np.float32)

    @property
    def bias(self) -> Array:
        shape = (1, self.per_out * self.groups, *[1] * self.axes)
        return np.random.default_rng(2).standard_normal(shape).astype(np.float32)

    def module(self) -> Any:
        """Convolve, add a bias, apply ReLU."""
        more = {"output_padding": (self.extra,) * self.axes} if self.kind == "transposed" else {}

        def body(builder: Any, x: Any) -> Any:
            call = OPERATORS[self.kind, self.axes](
                x,
                relax.const(self.weight),
                strides=(self.stride,) * self.axes,
                padding=self.pads,
                dilation=(self.gap,) * self.axes,
                groups=self.groups,
                **more,
            )
            shifted = builder.emit(R.add(builder.emit(call), relax.const(self.bias)))
            return builder.emit(R.nn.relu(shifted))

        return module([self.data.shape], body)

    def expected(self) -> Array:
        data, weight = torch.from_numpy(self.data).double(), torch.from_numpy(self.weight).double()
        before, after = self.pads[: self.axes], self.pads[self.axes :]
        if self.kind == "conv":
            around = [pad for pair in reversed(list(zip(before, after, strict=True))) for pad in pair]
            function = getattr(torch.nn.functional, f"conv{self.axes}d")
            found = function(
                torch.nn.functional.pad(data, around),
                weight,
                stride=self.stride,
                dilation=self.gap,
                groups=self.groups,
            )
        else:
            # Without padding, then cut: PyTorch knows no padding that differs before and after.
            function = getattr(torch.nn.functional, f"conv_transpose{self.axes}d")
            whole = function(data, weight, stride=self.stride, dilation=self.gap, groups=self.groups)
            grown = torch.nn.functional.pad(whole, [0, self.extra] * self.axes)
            cuts = [
                slice(low, size - high)
                for low, high, size in zip(before, after, grown.shape[2:], strict=True)
            ]
            found = grown[(slice(None), slice(None), *cuts)]
        return np.asarray((found + torch.from_numpy(self.bias)).clamp(min=0))


@st.composite
def convs(draw: Any, kind: str, axes: int) -> Conv:
    many = partial(draw, st.sampled_from((1, 2)))
    groups = draw(st.sampled_from((1, 1, 3)))
    per_in, per_out = (draw(st.sampled_from(CHANNELS if groups == 1 else (1, 2))) for _ in range(2))
    size = tuple(draw(st.sampled_from(SIZES)) for _ in range(axes))
    kernel = tuple(draw(st.integers(1, 5 if axes < 3 else 3)) for _ in range(axes))
    stride = draw(st.integers(1, 3))
    pads = tuple(draw(st.integers(0, 2)) for _ in range(2 * axes))
    gap = draw(st.integers(1, 2)) if kind == "conv" else 1
    extra = draw(st.integers(0, stride - 1)) if kind == "transposed" else 0
    conv = Conv(kind, axes, many(), per_in, per_out, groups, size, kernel, stride, gap, pads, extra)
    for axis in range(axes):
        cut = pads[axis] + pads[axes + axis]
        reach = (kernel[axis] - 1) * gap + 1
        if kind == "conv":
            assume(size[axis] + cut >= reach)
        else:
            assume((size[axis] - 1) * stride + reach + extra > cut)
    return conv


def check(conv: Conv, found: Array) -> None:
    expected = conv.expected()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5 * math.prod(conv.kernel))


def transposed(**changes: Any) -> Conv:
    base: dict[str, Any] = {"kind": "transposed", "axes": 2, "batch": 1, "groups": 1}
    base |= {
        "per_in": 3,
        "per_out": 17,
        "size": (5, 7),
        "kernel": (4, 4),
        "stride": 2,
        "gap": 1,
        "pads": (1, 1, 1, 1),
        "extra": 0,
    }
    return Conv(**(base | changes))


@pytest.mark.parametrize(("kind", "axes"), sorted(OPERATORS.keys() - {("conv", 2)}))
def test_any_of_these_convolutions_comes_out_right(kind: str, axes: int) -> None:
    @settings(max_examples=12, deadline=None, derandomize=True)
    @given(convs(kind, axes), st.sampled_from(MACHINES))
    def right(conv: Conv, machine: Any) -> None:
        check(conv, run_staged(conv.module(), machine, conv.data)[0])

    right()


@settings(max_examples=200, deadline=None)
@given(convs("transposed", 2), st.booleans(), st.booleans())
def test_the_phases_of_a_transposed_convolution_are_its_outputs(conv: Conv, split: bool, whole: bool) -> None:
    """The plan and the filters alone, in numpy and PyTorch: without a compiler between."""
    top, left, bottom, right = conv.pads
    axes = [
        TransposedAxis(conv.size[axis], conv.kernel[axis], conv.stride, pads, conv.extra)
        for axis, pads in enumerate(((top, bottom), (left, right)))
    ]
    plans = [plan_axis(axis, whole=whole) for axis in axes]
    split = split and conv.groups == 1
    sides = (plans[0].before, plans[1].before, plans[0].after, plans[1].after)
    parts = [(phase_filters(conv.weight, conv.groups, plans), sides)]
    if split:
        parts = split_phases(conv.weight, plans)
    data = torch.from_numpy(conv.data).double()
    images = []
    for filters, (up, west, down, east) in parts:
        padded = torch.nn.functional.pad(data, (west, east, up, down))
        kernel = torch.from_numpy(filters).double()
        images.append(torch.nn.functional.conv2d(padded, kernel, groups=conv.groups))
    phases = torch.cat(images, dim=1)
    assert phases.shape[2:] == (plans[0].steps, plans[1].steps)
    apart = phases.reshape(conv.batch, conv.groups, conv.stride, conv.stride, conv.per_out, *phases.shape[2:])
    image = apart.permute(0, 1, 4, 5, 2, 6, 3).reshape(
        conv.batch, conv.groups * conv.per_out, *(plan.steps * conv.stride for plan in plans)
    )
    rows, columns = (slice(plan.crop, plan.crop + plan.out) for plan in plans)
    cut = image[:, :, rows, columns] + torch.from_numpy(conv.bias)
    np.testing.assert_allclose(cut.clamp(min=0).numpy(), conv.expected(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("kernel", "padding", "taps", "whole"),
    [(2, 0, 1, True), (3, 1, 2, True), (4, 1, 2, False), (4, 0, 2, True)],
    ids=["2 wide", "3 wide", "4 wide, cut", "4 wide"],
)
def test_stride_2_takes_the_fewest_taps(kernel: int, padding: int, taps: int, whole: bool) -> None:
    extra = 1 if kernel == 3 else 0
    plan = plan_axis(TransposedAxis(5, kernel, 2, (padding, padding), extra))
    assert (plan.taps, plan.whole) == (taps, whole)


def test_large_images_take_three_taps_and_no_cut_for_winograds_way() -> None:
    small, large = (TransposedAxis(size, 4, 2, (1, 1), 0) for size in (8, 16))
    conv = transposed(size=(16, 16), per_in=16)

    def taps(*axes: TransposedAxis, weight: Array = conv.weight, groups: int = 1) -> list[int]:
        return [plan.taps for plan in plan_axes(axes, weight, groups)]

    assert taps(large, large) == [3, 3]
    assert taps(large, small) == [2, 2]
    assert taps(large, large, groups=2) == [2, 2]
    assert taps(large, large, weight=conv.weight[:15]) == [2, 2]
    assert kernels(conv) >= {"winograd_conv2d"}
    check(conv, run_staged(conv.module(), AVX512, conv.data)[0])


def test_phases_with_many_taps_of_zeros_become_convolutions_of_their_own() -> None:
    even, odd = transposed(), transposed(kernel=(3, 3), extra=1)
    assert call_counts(reshape_convs(even.module()))["nn.conv2d"] == 1
    assert call_counts(reshape_convs(odd.module()))["nn.conv2d"] == 4
    plans = [plan_axis(TransposedAxis(size, 3, 2, (1, 1), 1)) for size in odd.size]
    assert wasted_share(odd.weight, plans) == pytest.approx(1 - 9 / 16)
    # Together they have the taps of the transposed filter, and no other.
    assert sum(part[0, 0].size for part, _ in split_phases(odd.weight, plans)) == 9


@pytest.mark.parametrize("conv", [transposed(), transposed(kernel=(3, 3), extra=1)], ids=["one", "split"])
def test_transposed_convolutions_go_through_fast_kernels(conv: Conv) -> None:
    counts = call_counts(staged_until(conv.module(), AVX512, "channels_last"))
    assert "nn.conv2d_transpose" not in counts
    # In front of the first convolution and behind the last: what lies between is channels last.
    assert counts["permute_dims"] == 2
    assert kernels(conv) >= {"conv2d"}


def kernels(conv: Conv) -> set[str]:
    names = [name.name_hint for name, _ in staged_until(conv.module(), AVX512, "legalize").functions_items()]
    return {name.rstrip("0123456789") for name in names if name != "main"}


@pytest.mark.parametrize(
    ("axes", "groups", "kernel"),
    [(1, 1, "conv2d"), (1, 3, "depthwise_conv2d"), (3, 1, "conv2d"), (3, 3, "depthwise_conv2d")],
)
def test_one_and_three_axes_go_through_the_kernels_of_two(axes: int, groups: int, kernel: str) -> None:
    sides = 17 if groups == 1 else 1
    conv = Conv("conv", axes, 1, sides, sides, groups, (7,) * axes, (3,) * axes, 1, 1, (1,) * (2 * axes))
    assert kernel in kernels(conv)
    assert not {"conv1d", "conv3d"} & kernels(conv)


@pytest.mark.parametrize("axes", [1, 3])
def test_what_lies_between_two_convolutions_stays_flat(axes: int) -> None:
    weight = np.random.default_rng(1).standard_normal((4, 4, *[3] * axes)).astype(np.float32)
    scale = np.arange(1, 5, dtype=np.float32)
    data = np.random.default_rng(0).standard_normal((1, 4, *[7] * axes)).astype(np.float32)
    conv = partial(OPERATORS["conv", axes], weight=relax.const(weight), padding=[1] * (2 * axes))

    def body(builder: Any, x: Any) -> Any:
        first = builder.emit(conv(x))
        stats = [relax.const(values) for values in (scale, -scale, scale / 2, scale * 2)]
        normed = builder.emit(R.nn.batch_norm(first, *stats, axis=1, training=False))
        active = builder.emit(R.nn.relu(builder.emit(relax.TupleGetItem(normed, 0))))
        gated = builder.emit(R.multiply(active, builder.emit(R.sigmoid(first))))
        return builder.emit(conv(gated))

    before = module([data.shape], body)
    counts = call_counts(channels_last(reshape_convs(before)))
    assert counts["nn.conv2d"] == 2
    # Only the ends are shaped: reshape for one axis, transpose and reshape for three.
    assert counts["reshape"] == 2
    np.testing.assert_allclose(
        run_staged(before, AVX2, data)[0], run_default(before, data)[0], rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3, 1, 2), (2, 3, 4, 2)])
def test_a_sum_of_more_axes_than_a_convolution_has_no_twin(shape: tuple[int, ...]) -> None:
    weight = np.random.default_rng(1).standard_normal((4, 4, 3)).astype(np.float32)
    data = np.random.default_rng(0).standard_normal((3, 4, 2)).astype(np.float32)
    other = relax.const(np.random.default_rng(2).standard_normal(shape).astype(np.float32))

    def body(builder: Any, x: Any) -> Any:
        return builder.emit(R.add(builder.emit(R.nn.conv1d(x, relax.const(weight), padding=1)), other))

    before = module([data.shape], body)
    found, wanted = run_staged(before, AVX2, data)[0], run_default(before, data)[0]
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("other", [(1, 4, 2, 5, 5), (1, 4, 1, 5, 5)])
def test_batch_and_depth_broadcast_apart(other: tuple[int, ...]) -> None:
    weight = relax.const(np.random.default_rng(1).standard_normal((4, 4, 1, 3, 3)).astype(np.float32))
    draw = np.random.default_rng(0).standard_normal
    feeds = [draw(shape).astype(np.float32) for shape in ((2, 4, 1, 5, 5), other)]

    def body(builder: Any, x: Any, y: Any) -> Any:
        left, right = (builder.emit(R.nn.conv3d(each, weight, padding=(0, 1, 1))) for each in (x, y))
        return builder.emit(R.multiply(left, right))

    before = module([each.shape for each in feeds], body)
    found, wanted = run_staged(before, AVX2, *feeds)[0], run_default(before, *feeds)[0]
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_poolings_of_one_axis_follow() -> None:
    weight = np.random.default_rng(1).standard_normal((4, 3, 3)).astype(np.float32)
    data = np.random.default_rng(0).standard_normal((2, 3, 13)).astype(np.float32)

    def body(builder: Any, x: Any) -> Any:
        first = builder.emit(R.nn.conv1d(x, relax.const(weight)))
        most = builder.emit(R.nn.max_pool1d(first, 3, 2, 1))
        return builder.emit(R.nn.avg_pool1d(most, 2, 1, count_include_pad=True, padding=(1, 0)))

    before = module([data.shape], body)
    counts = call_counts(reshape_convs(before))
    assert (counts["nn.max_pool2d"], counts["nn.avg_pool2d"], counts["reshape"]) == (1, 1, 2)
    np.testing.assert_allclose(
        run_staged(before, AVX2, data)[0], run_default(before, data)[0], rtol=1e-4, atol=1e-5
    )


def test_weights_that_are_inputs_and_gaps_in_transposed_filters_are_left() -> None:
    def body(builder: Any, x: Any, w: Any) -> Any:
        return builder.emit(R.nn.conv2d_transpose(x, w))

    given_weights = module([(1, 3, 5, 5), (3, 4, 2, 2)], body)
    assert call_counts(reshape_convs(given_weights)) == {"nn.conv2d_transpose": 1}
    assert "nn.conv2d_transpose" in call_counts(reshape_convs(transposed(gap=2).module()))


def onnx_conv(
    operator: str, data: Sequence[int], weight: Sequence[int], **attributes: Any
) -> onnx.ModelProto:
    channels = weight[0] if operator == "Conv" else weight[1] * attributes.get("group", 1)
    nodes = [node(operator, "x w b", "c", **attributes), node("LeakyRelu", "c", "y", alpha=0.1)]
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    return model(nodes, [tensor("x", data)], [out], [weights("w", *weight), weights("b", channels)])


@pytest.mark.parametrize(
    "made",
    [
        onnx_conv("ConvTranspose", (1, 6, 9, 7), (6, 5, 4, 4), strides=[2, 2], pads=[1, 1, 1, 1]),
        onnx_conv(
            "ConvTranspose", (2, 6, 5, 7), (6, 8, 3, 3), strides=[2, 3], group=2, output_padding=[1, 0]
        ),
        onnx_conv("ConvTranspose", (2, 3, 13), (3, 4, 5), strides=[2], pads=[1, 2]),
        onnx_conv("Conv", (2, 3, 13), (17, 3, 3), strides=[2], pads=[1, 1]),
        onnx_conv("Conv", (1, 4, 13), (4, 1, 3), group=4, dilations=[2]),
        onnx_conv("Conv", (1, 3, 5, 7, 7), (8, 3, 3, 3, 3), pads=[1] * 6),
    ],
    ids=["transposed", "transposed in groups", "transposed, 1-D", "1-D", "depthwise, 1-D", "3-D"],
)
def test_onnx_models_agree_with_onnx_runtime(tmp_path: Path, made: onnx.ModelProto) -> None:
    manifest = compile_model(saved(tmp_path / "model.onnx", made), tmp_path / "artifact")
    assert manifest.parity is not None  # compile_model compares with ONNX Runtime and raises otherwise
    open_session(tmp_path / "artifact", 1)
