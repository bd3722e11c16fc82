"""Transposed convolutions in the graph: the phases of the stride as plain convolutions, then interleaved."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from tvm import relax

from modeldyno.compiler.graph.fold import Array, as_constant
from modeldyno.compiler.graph.layout import TO_FIRST, TO_LAST
from modeldyno.compiler.graph.phases import (
    TransposedAxis,
    interleave,
    phase_filters,
    plan_axes,
    split_phases,
    suits_winograd,
    wasted_share,
)
from modeldyno.compiler.graph.rewrite import OUT_FUSABLE

# Phases become convolutions of their own when more than this share of one of them all would be products with
# zeros, and when each has channels enough to fill vectors.
MOST_WASTE, LEAST_CHANNELS = 0.25, 16


def by_phases(
    builder: relax.BlockBuilder,
    call: relax.Call,
    data: relax.Expr,
    weight: Array,
    axes: Sequence[TransposedAxis],
) -> relax.Expr:
    """Convolve NCHW data for all phases, and interleave them."""
    groups = int(call.attrs.groups)
    plans = plan_axes(axes, weight, groups)
    rows, columns = plans
    split = groups == 1 and weight.shape[1] >= LEAST_CHANNELS and wasted_share(weight, plans) > MOST_WASTE
    split = split and not suits_winograd(plans, weight, groups)
    sides = (rows.before, columns.before, rows.after, columns.after)
    convs = split_phases(weight, plans) if split else [(phase_filters(weight, groups, plans), sides)]
    phases = [
        relax.op.nn.conv2d(
            data, as_constant(filters), padding=padding, groups=groups, out_dtype=call.attrs.out_dtype
        )
        for filters, padding in convs
    ]
    if rows.stride == columns.stride == 1 and rows.whole and columns.whole:
        return phases[0]
    # Channels last, as the convolution gives them: runs of channels are moved, not single numbers.
    last = [builder.emit(relax.op.permute_dims(builder.emit(phase), TO_LAST)) for phase in phases]
    image = builder.emit(
        builder.call_te(
            partial(interleave, groups=groups, plans=plans),
            *last,
            primfunc_name_hint="interleave",
            primfunc_attrs={"op_pattern": OUT_FUSABLE},
        )
    )
    return relax.op.permute_dims(image, TO_FIRST)
