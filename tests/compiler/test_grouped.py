"""Grouped and depthwise convolutions against PyTorch in float64: odd sizes, steps, gaps, paddings, groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tvm import relax

from modeldyno.compiler.kernels.choice import Choice, Workload, candidates, choose
from modeldyno.compiler.kernels.grouped import group_tiles, merge_groups, merged_groups, pack_groups
from modeldyno.compiler.lower.legalize_grouped import grouped_conv2d
from modeldyno.compiler.lower.shuffle import fold_shuffles
from modeldyno.compiler.rules.apply import RULES, schedule_all
from modeldyno.compiler.rules.grouped import grouped_walk
from modeldyno.compiler.targets.machine import Machine
from tests.compiler.relaxed import AVX2, AVX512, NEON, Array, call_counts, module, run_staged, staged_until

R = relax.op


@dataclass(frozen=True)
class Conv:
    """A convolution of NHWC data; `pads` are top, left, bottom, right."""

    groups: int
    per_in: int
    per_out: int
    kernel: tuple[int, int]
    stride: int
    gap: int
    pads: tuple[int, int, int, int]

    @property
    def weight(self) -> Array:
        shape = (self.groups * self.per_out, *self.kernel, self.per_in)
        return np.random.default_rng(1).standard_normal(shape).astype(np.float32)

    def expected(self, data: Array) -> Array:
        top, left, bottom, right = self.pads
        image = torch.from_numpy(data).double().permute(0, 3, 1, 2)
        image = torch.nn.functional.pad(image, (left, right, top, bottom))
        weight = torch.from_numpy(self.weight).double().permute(0, 3, 1, 2)
        found = torch.nn.functional.conv2d(
            image, weight, stride=self.stride, dilation=self.gap, groups=self.groups
        )
        return np.asarray(found.permute(0, 2, 3, 1))

    def emit(self, builder: Any, data: Any) -> Any:
        call = R.nn.conv2d(
            data,
            relax.const(self.weight),
            strides=(self.stride, self.stride),
            padding=self.pads,
            dilation=(self.gap, self.gap),
            groups=self.groups,
            data_layout="NHWC",
            kernel_layout="OHWI",
        )
        return builder.emit(call)


def own_kernels(mod: Any, machine: Machine) -> Any:
    """Give the module with our kernels for its convolutions, fused and scheduled by our rule alone."""
    legal = relax.transform.LegalizeOps({"relax.nn.conv2d": lambda b, c: grouped_conv2d(b, c, machine)})
    fuse = [relax.transform.AnnotateTIROpPattern(), relax.transform.FuseOps(), relax.transform.FuseTIR()]
    mod = legal(mod)
    for each in fuse:
        mod = each(mod)
    return mod


def normal(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def check(found: Array, wanted: Array) -> None:
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=3e-6 * max(1, np.abs(wanted).max()))


CONVS = st.builds(
    Conv,
    groups=st.sampled_from((2, 3, 4, 8)),
    per_in=st.sampled_from((1, 2, 4, 17)),
    per_out=st.sampled_from((1, 2, 3, 4, 17, 34, 50)),
    kernel=st.sampled_from(((1, 1), (3, 3), (1, 5), (2, 1))),
    stride=st.sampled_from((1, 2, 3)),
    gap=st.sampled_from((1, 2)),
    pads=st.one_of(st.just((0, 0, 0, 0)), st.tuples(*[st.integers(0, 2)] * 4)),
)
DEPTHWISE = st.builds(
    lambda channels, **more: Conv(groups=channels, per_in=1, per_out=1, **more),
    channels=st.sampled_from((2, 3, 17, 24, 58, 64)),
    kernel=st.sampled_from(((1, 1), (3, 3), (5, 5), (1, 3))),
    stride=st.sampled_from((1, 2, 3)),
    gap=st.sampled_from((1, 2)),
    pads=st.one_of(st.just((0, 0, 0, 0)), st.tuples(*[st.integers(0, 2)] * 4)),
)


@settings(max_examples=60, deadline=None)
@given(
    conv=st.one_of(CONVS, DEPTHWISE),
    image=st.tuples(st.sampled_from((1, 2)), *[st.sampled_from((1, 5, 7, 13, 30))] * 2),
    machine=st.sampled_from((AVX512, AVX2, NEON)),
)
def test_convolutions_in_groups_are_right(conv: Conv, image: tuple[int, int, int], machine: Machine) -> None:
    reach = [conv.gap * (size - 1) + 1 for size in conv.kernel]
    top, left, bottom, right = conv.pads
    assume(image[1] + top + bottom >= reach[0] and image[2] + left + right >= reach[1])
    data = normal(*image, conv.groups * conv.per_in)
    wanted = conv.expected(data)
    bias, residual = normal(conv.groups * conv.per_out), normal(*wanted.shape)

    def body(builder: Any, x: Any, other: Any) -> Any:
        biased = builder.emit(R.add(conv.emit(builder, x), relax.const(bias)))
        return builder.emit(R.nn.relu(builder.emit(R.add(biased, other))))

    found = run_staged(module([data.shape, residual.shape], body), machine, data, residual)[0]
    check(found, np.maximum(wanted + bias + residual, 0))


@pytest.mark.parametrize("after", [R.nn.silu, R.sigmoid, R.nn.gelu, R.nn.gelu_tanh, R.exp, R.log])
def test_curves_behind_a_depthwise_convolution_are_part_of_its_tail(after: Any) -> None:
    conv = Conv(24, 1, 1, (5, 5), 1, 1, (2,) * 4)
    mod = staged_until(module([(1, 14, 14, 24)], lambda b, x: b.emit(after(conv.emit(b, x)))), AVX2, "fuse")
    (func,) = [func for name, func in mod.functions_items() if name.name_hint != "main"]
    assert grouped_walk(func, AVX2) is not None


@pytest.mark.parametrize(
    "conv", [Conv(4, 34, 34, (1, 1), 1, 1, (0,) * 4), Conv(58, 1, 1, (3, 3), 2, 1, (1,) * 4)]
)
def test_the_rule_answers_and_leaves_one_kernel_with_its_tail_inside(conv: Conv) -> None:
    shape = (1, 28, 28, conv.groups * conv.per_in)
    mod = own_kernels(module([shape], lambda b, x: b.emit(R.nn.relu(conv.emit(b, x)))), AVX512)
    (func,) = [func for name, func in mod.functions_items() if name.name_hint != "main"]
    assert next(rule.schedule for rule in RULES if rule.applies(func, AVX512)) is grouped_walk
    text = schedule_all(mod, AVX512).script()
    assert "T.vectorized" in text
    assert "T.parallel" in text


def test_what_follows_that_is_not_element_wise_is_computed_behind() -> None:
    conv = Conv(2, 3, 20, (3, 3), 1, 1, (1, 1, 1, 1))
    data = normal(1, 9, 9, 6)
    mod = module([data.shape], lambda b, x: b.emit(R.permute_dims(conv.emit(b, x), (0, 3, 1, 2))))
    check(run_staged(mod, AVX512, data)[0], conv.expected(data).transpose(0, 3, 1, 2))


def shuffle(builder: Any, data: Any, shape: tuple[int, ...], groups: int) -> Any:
    """Shuffle channels of NHWC data as a front end and the layout pass write it."""
    batch, height, width, channels = shape
    per = channels // groups
    first = builder.emit(R.permute_dims(data, (0, 3, 1, 2)))
    split = builder.emit(R.reshape(first, (batch, groups, per, height, width)))
    swapped = builder.emit(R.permute_dims(split, (0, 2, 1, 3, 4)))
    merged = builder.emit(R.reshape(swapped, (batch, channels, height, width)))
    return builder.emit(R.permute_dims(merged, (0, 2, 3, 1)))


@pytest.mark.parametrize("groups", [2, 3, 4])
def test_a_channel_shuffle_between_convolutions_goes_into_the_last_ones_reads(groups: int) -> None:
    deep = Conv(12 * groups, 1, 1, (3, 3), 1, 1, (1, 1, 1, 1))
    last = Conv(groups, 12, 20, (1, 1), 1, 1, (0, 0, 0, 0))
    data, bias = normal(1, 5, 7, 12 * groups), normal(12 * groups)

    def body(builder: Any, x: Any) -> Any:
        mixed = deep.emit(builder, shuffle(builder, x, data.shape, groups))
        return last.emit(builder, builder.emit(R.add(mixed, relax.const(bias))))

    mod = module([data.shape], body)
    left = call_counts(fold_shuffles(mod, AVX512))
    assert "permute_dims" not in left
    assert "reshape" not in left
    mixed = data.reshape(1, 5, 7, groups, 12).swapaxes(3, 4).reshape(data.shape)
    wanted = last.expected((deep.expected(mixed) + bias).astype(np.float32))
    legal = relax.transform.LegalizeOps({})(fold_shuffles(mod, AVX512))
    check(run_staged(legal, AVX512, data)[0], wanted)


def test_a_channel_shuffle_elsewhere_is_one_transpose_of_channels() -> None:
    data = normal(2, 3, 5, 12)
    mod = fold_shuffles(module([data.shape], lambda b, x: shuffle(b, x, data.shape, 3)), AVX512)
    assert call_counts(mod) == {"reshape": 2, "permute_dims": 1}
    wanted = data.reshape(2, 3, 5, 3, 4).swapaxes(3, 4).reshape(data.shape)
    np.testing.assert_array_equal(run_staged(mod, AVX512, data)[0], wanted)


def test_another_transpose_is_left_alone() -> None:
    data = normal(1, 3, 5, 12)

    def body(builder: Any, x: Any) -> Any:
        first = builder.emit(R.permute_dims(x, (0, 3, 1, 2)))
        split = builder.emit(R.reshape(first, (1, 3, 4, 3, 5)))
        swapped = builder.emit(R.permute_dims(split, (0, 2, 1, 4, 3)))
        merged = builder.emit(R.reshape(swapped, (1, 12, 5, 3)))
        return builder.emit(R.permute_dims(merged, (0, 2, 3, 1)))

    mod = module([data.shape], body)
    assert call_counts(fold_shuffles(mod, AVX512)) == call_counts(mod)


def test_merged_groups_compute_the_same_with_zeros_between_them() -> None:
    assert (merged_groups(32, 4, 16), merged_groups(32, 8, 16), merged_groups(4, 34, 16)) == (4, 2, 1)
    assert merged_groups(3, 5, 16) == 3
    weight = normal(8, 1, 1, 3)
    merged = merge_groups(weight, 4, 2)
    assert merged.shape == (8, 1, 1, 6)
    data = normal(12)
    wanted = [weight[o, 0, 0] @ data[o // 2 * 3 :][:3] for o in range(8)]
    found = [merged[o, 0, 0] @ data[o // 4 * 6 :][:6] for o in range(8)]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_packed_groups_hold_each_weight_once_and_zeros() -> None:
    weight = normal(2 * 20, 3, 1, 5)
    packed = pack_groups(weight, 2, 16)
    assert packed.shape == (2, 2, 3, 1, 5, 16)
    np.testing.assert_array_equal(packed[1, 1, 2, 0, 4, :4], weight[36:, 2, 0, 4])
    assert not packed[:, 1, ..., 4:].any()


@pytest.mark.parametrize("machine", [AVX512, AVX2, NEON])
@pytest.mark.parametrize("channels", [1, 17, 34, 68, 136, 500])
def test_a_tile_spans_the_group_and_fits_the_registers(machine: Machine, channels: int) -> None:
    tile = group_tiles(machine, 14, channels)[0]
    vectors = tile.columns // machine.lanes
    assert tile.tiles * tile.columns >= channels
    assert tile.rows <= 14
    assert tile.rows * vectors + vectors + 1 <= machine.registers


CHOSEN = [
    (conv, machine, number)
    for conv, machine in (
        (Conv(40, 1, 1, (3, 3), 1, 1, (1, 1, 1, 1)), AVX512),
        (Conv(67, 1, 1, (5, 3), 2, 1, (2, 1, 1, 0)), AVX2),
        (Conv(32, 1, 1, (3, 3), 1, 2, (0,) * 4), AVX512),
        (Conv(8, 4, 6, (3, 3), 1, 1, (1, 1, 1, 1)), AVX512),
    )
    for number in (1, -1)
]


@pytest.mark.parametrize(("conv", "machine", "number"), CHOSEN)
def test_whatever_tile_is_chosen_the_result_is_right(conv: Conv, machine: Machine, number: int) -> None:
    data = normal(1, 9, 11, conv.groups * conv.per_in)
    asked: list[Choice] = []

    def chooser(workload: Workload, machine: Machine) -> Choice:
        found = candidates(workload, machine)
        assert found[0] == choose(workload, machine)
        asked.append(found[number % len(found)])
        return asked[-1]

    mod = module([data.shape], lambda b, x: b.emit(R.nn.relu(conv.emit(b, x))))
    found = run_staged(mod, machine, data, chooser=chooser)[0]
    check(found, np.maximum(conv.expected(data), 0))
    assert len(asked) == 1


def test_the_tuner_tries_taller_wider_and_written_out_tiles_of_a_depthwise_convolution() -> None:
    wide = Workload("depthwise", 1, (56, 56), (56, 56), 1, 96, (3, 3), (1, 1), (1, 1, 1, 1), groups=96)
    found = candidates(wide, AVX512)
    assert found[0] == Choice(8, 16)
    assert found[1] == Choice(8, 16, unroll=True)
    assert len(set(found)) == len(found) == 24
    assert {choice.columns for choice in candidates(wide, AVX512, most=99)} == {16, 32}
    assert all(choice.rows * choice.columns // 16 <= 30 for choice in found)
