"""Operators that read whole dimensions: sums, extremes, softmax, norms, sorts, running sums."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from modeldyno.base.rowflow.records import Mode
from modeldyno.base.rowflow.sizes import ONE, Shape, opaque
from modeldyno.base.rowflow.values import (
    COUNTED,
    FREE,
    Call,
    Rows,
    State,
    UnclearError,
    Value,
    axes_of,
    without,
)

REDUCTIONS = frozenset(
    f"Reduce{kind}"
    for kind in (
        *("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2"),
        *("SumSquare", "LogSum", "LogSumExp"),
    )
)
_UNMOVED_BY_ZEROS = frozenset(("ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum"))
_NEVER_BELOW = frozenset(("ReduceL1", "ReduceL2", "ReduceSumSquare"))
_KEEPS_SIGN = frozenset(("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"))


def reduce(call: Call) -> list[Value]:
    """Reduce over axes that an attribute or an input names."""
    x, shape = call.value(), call.shape()
    given = call.integers(1, "axes")
    if not given and (given is not None or call.attribute("noop_with_empty_axes", 0)):
        if call.attribute("noop_with_empty_axes", 0):
            return [Value(shape, x.state.mapped() if isinstance(x.state, Rows) else x.state)]
        given = None
    return [_reduced(call, axes_of(given, len(shape)), keep=bool(call.attribute("keepdims", 1)))]


def arg_extreme(call: Call) -> list[Value]:
    """ArgMax and ArgMin: where along one axis."""
    axis = call.axis("axis", 0, len(call.shape()))
    found = _reduced(call, {axis}, keep=bool(call.attribute("keepdims", 1)))
    return [replace(found, state=found.rows.mapped(floor=True)) if found.rows else found]


def _reduced(call: Call, axes: set[int], *, keep: bool) -> Value:
    shape, state = call.shape(), call.value().state
    gone = set() if keep else axes
    left = tuple(ONE if at in axes else each for at, each in enumerate(shape) if at not in gone)
    if not isinstance(state, Rows):
        return Value(left, state)
    if state.at in axes:
        return Value(left, _over_rows(call, state))
    operator = call.node.operator
    zero = state.zero and operator not in ("ReduceLogSum", "ReduceLogSumExp")
    floor = operator in _NEVER_BELOW or (state.floor and operator in _KEEPS_SIGN)
    return Value(left, state.mapped(zero=zero, floor=floor).moved(without(state.at, gone)))


def _over_rows(call: Call, rows: Rows) -> State:
    """Give what a reduction over the rows is: the same with and without padding, at the best."""
    operator = call.node.operator
    first = operator == "ArgMax" and not call.attribute("select_last_index", 0)
    sums = operator in _UNMOVED_BY_ZEROS or (rows.floor and (first or operator == "ReduceMax"))
    if call.mode is Mode.PAD and rows.zero and sums:
        return FREE
    raise call.crossed(rows, "it reduces over the rows", sums=sums)


def along(call: Call, axes: Iterable[int], outputs: int = 1, *, sums: bool = False) -> list[Value]:
    """Compute along axes; the shape stays."""
    shape, state = call.shape(), call.value().state
    if isinstance(state, Rows):
        if state.at in set(axes):
            raise call.crossed(state, "it goes over the rows", sums=sums)
        state = state.mapped(floor=call.node.operator == "Softmax")
    return [Value(shape, state)] * outputs


def softmax(call: Call) -> list[Value]:
    """Softmax and its kin: along one axis; before opset 13 over all from that one on."""
    rank = len(call.shape())
    if call.opset < 13:
        return along(call, range(call.axis("axis", 1, rank), rank))
    return along(call, [call.axis("axis", -1, rank)])


def norm_from(call: Call) -> list[Value]:
    """LayerNormalization and RMSNormalization: over all axes from one on."""
    rank = len(call.shape())
    first = call.axis("axis", -1, rank)
    _parameters(call, 1)
    found = along(call, range(first, rank))[0]
    shape = tuple(ONE if at >= first else each for at, each in enumerate(call.shape()))
    small = Value(shape, found.state.mapped() if isinstance(found.state, Rows) else found.state)
    return [found, *[small] * (len(call.node.outputs) - 1)]


def norm_of_samples(call: Call) -> list[Value]:
    """InstanceNormalization and GroupNormalization: over all but the batch (and the channels)."""
    _parameters(call, 1)
    grouped = call.node.operator == "GroupNormalization"
    return along(call, range(1 if grouped else 2, len(call.shape())))


def batch_norm(call: Call) -> list[Value]:
    """BatchNormalization: by known figures of each channel, unless it is in training."""
    _parameters(call, 1)
    rank = len(call.shape())
    if call.attribute("training_mode", 0):
        return along(call, [0, *range(2, rank)], len(call.node.outputs))
    if call.opset < 9 and not call.attribute("spatial", 1):
        raise UnclearError("it has figures for each place")
    return along(call, [1], len(call.node.outputs))


def mean_variance(call: Call) -> list[Value]:
    """MeanVarianceNormalization."""
    return along(call, axes_of(call.integers(9, "axes") or [0, 2, 3], len(call.shape())))


def one_axis(call: Call) -> list[Value]:
    """LpNormalization: along one axis."""
    rows, axis = call.value().rows, call.axis("axis", -1, len(call.shape()))
    if call.mode is Mode.PAD and rows and rows.zero and rows.at == axis:
        return [Value(call.shape(), rows.mapped())]  # zeros add nothing to a norm
    return along(call, [axis], sums=True)


def over_channels(call: Call) -> list[Value]:
    """LRN: over neighbours in dimension 1."""
    return along(call, [1])


def running(call: Call) -> list[Value]:
    """CumSum and CumProd: along the axis that an input names."""
    axes = call.integers(1)
    if axes is None:
        raise UnclearError("its axis is not known")
    (axis,) = axes_of(axes, len(call.shape()))
    rows = call.value().rows
    if rows and rows.at == axis and call.mode is Mode.PAD and rows.outer == rows.inner == ONE:
        sums = call.node.operator == "CumSum"
        if not call.attribute("reverse", 0) or (sums and rows.zero):
            return [Value(call.shape(), rows.mapped())]  # what comes before does not see the padding
    return along(call, [axis], sums=call.node.operator == "CumSum")


def top_k(call: Call) -> list[Value]:
    """TopK: along one axis, of which k are left."""
    shape = call.shape()
    axis = call.axis("axis", -1, len(shape))
    found = along(call, [axis])[0]
    k = call.integers(1, "k") if call.opset < 10 or call.value(1).numbers is not None else None
    from modeldyno.base.rowflow.sizes import size

    count = size(k[0]) if k else opaque(f"k of {call.node.outputs[0]}")
    if call.has(1) and call.value(1).state is COUNTED:
        raise UnclearError("how many it takes follows from the rows")
    shape = tuple(count if at == axis else each for at, each in enumerate(shape))
    return [Value(shape, found.state)] * 2


def whole_tensor(call: Call) -> list[Value]:
    """DynamicQuantizeLinear: by the extremes of all numbers, and 0 among them."""
    shape, state = call.shape(), call.value().state
    scale: Shape = ()
    if isinstance(state, Rows):
        if call.mode is not Mode.PAD or not state.zero:
            raise call.crossed(state, "its scale is taken from all rows", sums=True)
        return [Value(shape, state.mapped()), Value(scale), Value(scale)]
    return [Value(shape, state), Value(scale, state), Value(scale, state)]


def quantize(call: Call) -> list[Value]:
    """QuantizeLinear and DequantizeLinear: by scales that are the same for all rows."""
    shape, state = call.shape(), call.value().state
    _parameters(call, 1)
    if isinstance(state, Rows):
        per_axis = len(call.shape(1)) > 0 and call.shape(1) != (ONE,)
        blocked = len(call.shape(1)) > 1
        if blocked or (per_axis and state.at == call.axis("axis", 1, len(shape))):
            raise UnclearError("it has scales for each of the rows")
        # Zero points move 0.
        state = state.mapped()
    return [Value(shape, state)]


def _parameters(call: Call, first: int) -> None:
    for place in range(first, len(call.values)):
        if call.has(place) and call.value(place).state is not FREE:
            raise UnclearError(f"its input {place} follows from the rows")
