"""Products of matrices, by labels of dimensions: which are summed over, which stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modeldyno.base.rowflow.elementwise import together
from modeldyno.base.rowflow.records import Mode
from modeldyno.base.rowflow.sizes import ONE, Shape, Size, broadcast
from modeldyno.base.rowflow.values import (
    COUNTED,
    FREE,
    Call,
    CrossedError,
    Rows,
    State,
    UnclearError,
    Value,
    whole,
)


@dataclass(frozen=True)
class Factor:
    """One factor and the labels of its dimensions."""

    value: Value
    labels: tuple[str, ...]

    @property
    def shape(self) -> Shape:
        """Its shape."""
        return self.value.shape or ()


def matmul(call: Call) -> list[Value]:
    """MatMul, MatMulInteger and QLinearMatMul."""
    first, second = {"QLinearMatMul": (0, 3)}.get(call.node.operator, (0, 1))
    used = (first, second)
    for place in range(len(call.values)):
        if place not in used and call.has(place) and call.value(place).state is not FREE:
            raise UnclearError(f"its input {place} follows from the rows")
    return [product_of(call, call.value(first), call.value(second), (call.shape(first), call.shape(second)))]


def product_of(call: Call, a: Value, b: Value, shapes: tuple[Shape, Shape]) -> Value:
    """Multiply as numpy's matmul does."""
    one, two = shapes
    if not one or not two:
        raise UnclearError("it multiplies a number")
    batch = max(len(one), len(two)) - 2
    left = ("m", "k")[-len(one) :] if len(one) < 3 else (*_labels(len(one) - 2, batch), "m", "k")
    right = ("k",) if len(two) == 1 else (*_labels(len(two) - 2, batch), "k", "n")
    out = [*_labels(max(batch, 0), max(batch, 0)), *("m",) * ("m" in left), *("n",) * ("n" in right)]
    return contracted(call, [Factor(a, tuple(left)), Factor(b, tuple(right))], out)


def _labels(count: int, batch: int) -> tuple[str, ...]:
    return tuple(f"b{at}" for at in range(batch - count, batch))


def gemm(call: Call) -> list[Value]:
    """Gemm: A and B transposed or not, and C added."""
    left = ("k", "m") if call.attribute("transA", 0) else ("m", "k")
    right = ("n", "k") if call.attribute("transB", 0) else ("k", "n")
    call.shape(0), call.shape(1)
    made = contracted(call, [Factor(call.value(0), left), Factor(call.value(1), right)], ["m", "n"])
    return [together(call, [made, call.value(2)]) if call.has(2) else made]


def einsum(call: Call) -> list[Value]:
    """Einsum without an ellipsis."""
    text = call.attribute("equation", b"")
    text = (text.decode() if isinstance(text, bytes) else text).replace(" ", "")
    if "." in text:
        raise UnclearError("its equation has an ellipsis")
    read, arrow, out = text.partition("->")
    terms = read.split(",")
    if not arrow:
        letters = sorted(set(read) - {","})
        out = "".join(each for each in letters if read.count(each) == 1)
    factors = []
    for place, term in enumerate(terms):
        if len(set(term)) < len(term):
            raise UnclearError("its equation takes a diagonal")
        call.shape(place)
        factors.append(Factor(call.value(place), tuple(term)))
    return [contracted(call, factors, list(out))]


def contracted(call: Call, factors: Sequence[Factor], out: Sequence[str]) -> Value:
    """Multiply along equal labels and sum over those that `out` lacks."""
    for factor in factors:
        if len(factor.labels) != len(factor.shape):
            raise UnclearError("its ranks do not fit")
    shape = tuple(_size(factors, label) for label in out)
    state = _state(call, factors, out)
    return whole(state, shape) if isinstance(state, Rows) else Value(shape, state)


def _size(factors: Sequence[Factor], label: str) -> Size:
    sizes = [each.shape[each.labels.index(label)] for each in factors if label in each.labels]
    return broadcast([(each,) for each in sizes])[0]


def _state(call: Call, factors: Sequence[Factor], out: Sequence[str]) -> State:
    rows = [(each.value.rows, each.labels[each.value.rows.at]) for each in factors if each.value.rows]
    counted = any(each.value.state is COUNTED for each in factors)
    if not rows:
        return COUNTED if counted else FREE
    first, label = rows[0]
    if counted:
        raise call.crossed(first, "the number of rows is computed with")
    for other, where in rows[1:]:
        if where != label:
            raise CrossedError("it multiplies rows with rows", certain=call.mode is Mode.JOIN)
        if (other.outer, other.inner, other.count) != (first.outer, first.inner, first.count):
            raise UnclearError("it reads rows that lie in different ways")
    if label not in out:
        if call.mode is Mode.PAD and _all_zero(factors, label):
            return FREE
        raise call.crossed(first, "it sums over the rows", sums=True)
    for each in factors:
        if each.value.rows is None and label in each.labels and each.shape[each.labels.index(label)] != ONE:
            raise UnclearError("a tensor that is the same for all rows has more than one itself")
    return Rows(
        at=list(out).index(label),
        outer=first.outer,
        inner=first.inner,
        count=first.count,
        same=all(each.same for each, _ in rows),
        # Zero points move 0.
        zero=call.node.operator in ("MatMul", "Gemm", "Einsum") and _stays_zero(factors),
        blind=all(each.blind for each, _ in rows),
    )


def _stays_zero(factors: Sequence[Factor]) -> bool:
    """Whether products with padding are 0: each is 0 there, or a constant that is finite."""
    rows = [each.value.rows for each in factors]
    known = all(
        each.value.finite if one is None else one.zero for each, one in zip(factors, rows, strict=True)
    )
    return known and any(rows)


def _all_zero(factors: Sequence[Factor], label: str) -> bool:
    """Whether every factor of the sum over padding is 0: 0 times what is not finite is none."""
    return all(
        label in each.labels and each.value.rows is not None and each.value.rows.zero for each in factors
    )
