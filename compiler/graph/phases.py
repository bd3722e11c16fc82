"""A transposed convolution as one plain convolution whose output channels are the phases of its stride.

    out[o] = sum of x[i] * w[k] over i * stride + k = o + padding

Outputs whose o + shift leave the same remainder r by the stride (a phase) read every stride-th tap of w only:
with o + shift = q * stride + r, out is a plain convolution over q with the taps k = (q - i) * stride + r +
padding - shift, flipped. All phases read the same inputs, so they are channels of one convolution, and
interleaving them gives the output (sub-pixel convolution: Shi et al., CVPR 2016, without learning it).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tvm import te, tirx

from modeldyno.compiler.graph.fold import Array

# Least outputs of an axis of a plain 3x3 convolution, for which 3x3 beats 2x2 (measured: 1.2 to 1.5 times
# from 16 on, 0.75 times at 8).
WINOGRAD_STEPS = 14
# Winograd's way takes multiples of this many input channels.
WINOGRAD_CHANNELS = 16


@dataclass(frozen=True)
class AxisPlan:
    """One axis of a transposed convolution, as a plain one of stride 1.

    `before` and `after` pad its input, `taps` is its filter's size, `first_tap` the tap of the original
    filter that phase 0 reads last. Of the interleaved phases, `out` elements from `crop` on are the output.
    """

    stride: int
    taps: int
    first_tap: int
    before: int
    after: int
    crop: int
    out: int
    steps: int  # outputs of the plain convolution, of all phases

    @property
    def whole(self) -> bool:
        """Whether the interleaved phases are the output, with nothing to cut off."""
        return self.crop == 0 and self.steps * self.stride == self.out


@dataclass(frozen=True)
class TransposedAxis:
    """An axis of a transposed convolution: `padding` is cut off before and after, `extra` is added behind."""

    size: int
    kernel: int
    stride: int
    padding: tuple[int, int]
    extra: int

    @property
    def out(self) -> int:
        """Size of the output."""
        return (self.size - 1) * self.stride - sum(self.padding) + self.kernel + self.extra


def plan_axes(axes: Sequence[TransposedAxis], weight: Array, groups: int) -> tuple[AxisPlan, ...]:
    """Plan height and width: the fewest taps, or 3x3 with nothing to cut off where Winograd's way takes it.

    Winograd's way makes 9 products for the price of 4 and less, on images that fill its tiles.
    """
    whole = tuple(plan_axis(axis, whole=True) for axis in axes)
    if suits_winograd(whole, weight, groups):
        return whole
    return tuple(plan_axis(axis) for axis in axes)


def plan_axis(axis: TransposedAxis, *, whole: bool = False) -> AxisPlan:
    """Plan one axis: the fewest taps, and among those the least to cut off; or the other way round."""
    plans = [_shifted(axis, shift) for shift in range(axis.stride)]
    if whole:
        return min(plans, key=lambda plan: (not plan.whole, plan.taps))
    return min(plans, key=lambda plan: (plan.taps, not plan.whole))


def suits_winograd(plans: Sequence[AxisPlan], weight: Array, groups: int) -> bool:
    """Whether the plain convolution is a 3x3 one with channels and pixels enough for Winograd's way."""
    if groups != 1 or weight.shape[0] % WINOGRAD_CHANNELS:
        return False
    return all(plan.taps == 3 and plan.steps >= WINOGRAD_STEPS for plan in plans)


def _shifted(axis: TransposedAxis, shift: int) -> AxisPlan:
    # q - i runs from `low` to `high` over all phases.
    stride, offset = axis.stride, axis.padding[0] - shift
    low, high = -((offset + stride - 1) // stride), (axis.kernel - 1 - offset) // stride
    taps = high - low + 1
    # A plain convolution can't leave out inputs: it starts earlier, and more is cut off.
    before = max(high, 0)
    needed = (axis.out - 1 + shift) // stride + 1
    after = max(needed - low - axis.size, 0)
    return AxisPlan(
        stride=stride,
        taps=taps,
        first_tap=low * stride + offset,
        before=before,
        after=after,
        crop=(before - high) * stride + shift,
        out=axis.out,
        steps=axis.size + before + after - taps + 1,
    )


def phase_filters(weight: Array, groups: int, plans: Sequence[AxisPlan]) -> Array:
    """Give the plain convolution's weights.

    Args:
        weight: of the transposed convolution, [in, out / groups, height, width].
        groups: number of groups.
        plans: of height and width.

    Returns:
        [groups * phases of height * phases of width * out / groups, in / groups, taps, taps].
    """
    inputs, outputs, *kernel = weight.shape
    grouped = weight.reshape(groups, inputs // groups, outputs, *kernel)
    # Taps that a phase does not have read the zero behind the last.
    grouped = np.pad(grouped, [(0, 0)] * 3 + [(0, 1)] * 2)
    rows, columns = (_tap_indices(plan, size) for plan, size in zip(plans, kernel, strict=True))
    filters = grouped[..., rows[:, None, :, None], columns[None, :, None, :]]
    ordered = filters.transpose(0, 3, 4, 2, 1, 5, 6)
    channels = groups * plans[0].stride * plans[1].stride * outputs
    return np.ascontiguousarray(ordered.reshape(channels, inputs // groups, plans[0].taps, plans[1].taps))


def split_phases(weight: Array, plans: Sequence[AxisPlan]) -> list[tuple[Array, tuple[int, int, int, int]]]:
    """Give each phase a convolution of its own, without the taps that it doesn't have.

    Of one group; the phases of width change fastest. Each comes with its padding: top, left, bottom, right.
    """
    rows, columns = plans
    filters = phase_filters(weight, 1, plans)
    found = []
    for index, part in enumerate(np.split(filters, rows.stride * columns.stride)):
        top, bottom = _missing(rows, weight.shape[2], index // columns.stride)
        left, right = _missing(columns, weight.shape[3], index % columns.stride)
        kept = part[:, :, top : rows.taps - bottom, left : columns.taps - right]
        sides = (rows.before - top, columns.before - left, rows.after - bottom, columns.after - right)
        found.append((np.ascontiguousarray(kept), sides))
    return found


def wasted_share(weight: Array, plans: Sequence[AxisPlan]) -> float:
    """Share of the products of one convolution of all phases that are with taps that a phase doesn't have."""
    computed = math.prod(plan.taps * plan.stride for plan in plans)
    return 1 - math.prod(weight.shape[2:]) / computed


def _missing(plan: AxisPlan, kernel: int, phase: int) -> tuple[int, int]:
    """How many taps a phase lacks at the start and the end of its filter, and can leave out."""
    has = np.flatnonzero(_tap_indices(plan, kernel)[phase] < kernel)
    first, last = (int(has[0]), int(has[-1])) if has.size else (0, plan.taps - 1)
    # Leaving out a tap is leaving out padding: where there is none, the tap of zeros stays.
    return min(first, plan.before), min(plan.taps - 1 - last, plan.after)


def interleave(*phases: te.Tensor, groups: int, plans: Sequence[AxisPlan]) -> te.Tensor:
    """Give NHWC pixels in their order, of phases [N, steps, steps, groups * phases * phases * channels].

    Or of one tensor for each phase, [N, steps, steps, channels], in one group.

    Written as one kernel: as reshapes and a transpose its indices would be divided for every number.
    """
    rows, columns = plans
    count = rows.stride * columns.stride
    channels = int(phases[0].shape[3]) * len(phases) // (groups * count)

    def pixel(
        batch: tirx.Var, row: tirx.Var, column: tirx.Var, channel: tirx.Var
    ) -> tirx.Expr | te.TensorSlice:
        top, left = row + rows.crop, column + columns.crop
        phase = top % rows.stride * columns.stride + left % columns.stride
        if len(phases) > 1:
            place = channel
        elif groups == 1:
            place = phase * channels + channel
        else:
            group = channel // channels * count
            place = (group + phase) * channels + channel % channels
        index = (batch, top // rows.stride, left // columns.stride, place)
        value = phases[-1][index]
        for number in reversed(range(len(phases) - 1)):
            value = tirx.if_then_else(phase == number, phases[number][index], value)
        return value

    return te.compute(
        (phases[0].shape[0], rows.out, columns.out, groups * channels), pixel, name="interleave"
    )


def _tap_indices(plan: AxisPlan, kernel: int) -> Array:
    """Which tap each phase reads at each place of its filter, [phases, taps]; `kernel` where it has none."""
    phases, places = np.arange(plan.stride)[:, None], np.arange(plan.taps)[None, ::-1]
    taps = places * plan.stride + phases + plan.first_tap
    return np.where((taps >= 0) & (taps < kernel), taps, kernel)
