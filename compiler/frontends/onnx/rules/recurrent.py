"""RNN, LSTM and GRU unrolled over their steps: each is two matrix products and element-wise work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from modeldyno.compiler.frontends.onnx.rules.graph import Refused, Writer

MOST_STEPS = 256  # unrolled code grows with each
_PLAIN = ("Relu", "Tanh", "Sigmoid", "Softsign", "Softplus")
_PARAMETERS = {
    "LeakyRelu": ("alpha",),
    "Elu": ("alpha",),
    "ThresholdedRelu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
}
Cell = Callable[["Direction", str, list[str]], list[str]]


@dataclass(frozen=True)
class Direction:
    """One direction of a layer: its weights, sizes and activations, and what to write with."""

    w: Writer
    recurrence: str  # (hidden, gates x hidden)
    bias: tuple[str, str]  # of input and recurrence, (gates x hidden); empty where there is none
    hidden: int
    activations: list[Callable[[str], str]]
    peepholes: str

    def gate(self, name: str, number: int) -> str:
        """Give one gate's columns."""
        return self.w.slice(name, 1, number * self.hidden, (number + 1) * self.hidden)


def rnn(w: Writer) -> list[str] | None:
    """Unroll an RNN."""
    return _layer(w, 1, _rnn_cell, ["Tanh"])


def gru(w: Writer) -> list[str] | None:
    """Unroll a GRU."""
    return _layer(w, 3, _gru_cell, ["Sigmoid", "Tanh"])


def lstm(w: Writer) -> list[str] | None:
    """Unroll an LSTM."""
    return _layer(w, 4, _lstm_cell, ["Sigmoid", "Tanh", "Tanh"])


def _layer(w: Writer, gates: int, cell: Cell, default: list[str]) -> list[str] | None:
    shape, hidden = w.shape(w.input(0)), w.shape(w.input(2))[2]
    batch_first = bool(w.attribute("layout", 0))
    steps, batch = (shape[1], shape[0]) if batch_first else (shape[0], shape[1])
    _check(w, steps)
    way = w.attribute("direction", "forward")
    ways = ["forward", "reverse"] if way == "bidirectional" else [way]
    names = [name.decode() for name in w.attribute("activations", [])] or default * len(ways)
    functions = _activations(w, names)
    data = w.transpose(w.input(0), (1, 0, 2)) if batch_first else w.input(0)
    lengths = w.within(4, steps) if w.input(4) else ""
    sequences, finals = [], []
    for number, one in enumerate(ways):
        direction = _direction(w, number, gates, hidden, functions[number * len(default) :])
        weights = w.transpose(_part(w, w.input(1), number, (gates * hidden, shape[2])), (1, 0))
        state = _first_state(w, number, batch, hidden, 2 if gates == 4 else 1)
        outs = []
        for step in range(steps) if one == "forward" else reversed(range(steps)):
            row = w.reshape(w.slice(data, 0, step, step + 1), (batch, shape[2]))
            new = cell(direction, w.op("MatMul", row, weights), state)
            out, state = _within_length(w, step, lengths, new, state)
            outs.append(w.reshape(out, (1, 1, batch, hidden)))
        outs = outs if one == "forward" else outs[::-1]
        sequences.append(w.op("Concat", *outs, axis=0))
        finals.append([w.reshape(part, (1, batch, hidden)) for part in state])
    whole = w.op("Concat", *sequences, axis=1)  # (steps, directions, batch, hidden)
    last = [w.op("Concat", *parts, axis=0) for parts in zip(*finals, strict=True)]
    if batch_first:
        return [w.transpose(whole, (2, 0, 1, 3)), *(w.transpose(part, (1, 0, 2)) for part in last)]
    return [whole, *last]


def _check(w: Writer, steps: int) -> None:
    if steps > MOST_STEPS:
        raise Refused(
            f"{steps} steps; the most that is unrolled is {MOST_STEPS}: compile it for shorter sequences "
            "(`shapes`)"
        )
    for name in ("clip", "input_forget"):
        if w.attribute(name, 0):
            raise Refused(f"its attribute {name} is not supported")


def _within_length(
    w: Writer, step: int, lengths: str, new: list[str], old: list[str]
) -> tuple[str, list[str]]:
    """Give the step's output and the state behind it; rows that are shorter give 0 and keep their state."""
    if not lengths:
        return new[0], new
    runs = w.reshape(w.op("Less", w.const(step, w.dtype(w.input(4))), lengths), (-1, 1))
    state = [w.op("Where", runs, now, before) for now, before in zip(new, old, strict=True)]
    return w.op("Where", runs, new[0], w.const(0, w.dtype(w.input(0)))), state


def _activations(w: Writer, names: list[str]) -> list[Callable[[str], str]]:
    values = {kind: list(w.attribute(f"activation_{kind}", [])) for kind in ("alpha", "beta")}
    found: list[Callable[[str], str]] = []
    for name in names:
        if name not in _PLAIN and name not in _PARAMETERS:
            raise Refused(f"its activation {name} is not supported")
        kinds = [kind for kind in _PARAMETERS.get(name, ()) if values[kind]]
        settings = {kind: values[kind].pop(0) for kind in kinds}
        found.append(lambda x, name=name, settings=settings: w.op(name, x, **settings))  # type: ignore[misc]
    return found


def _part(w: Writer, name: str, number: int, shape: tuple[int, ...]) -> str:
    """Give one direction's part of a tensor."""
    return w.reshape(w.slice(name, 0, number, number + 1), shape)


def _direction(
    w: Writer, number: int, gates: int, hidden: int, activations: list[Callable[[str], str]]
) -> Direction:
    recurrence = w.transpose(_part(w, w.input(2), number, (gates * hidden, hidden)), (1, 0))
    bias = ("", "")
    if w.input(3):
        both = _part(w, w.input(3), number, (1, 2 * gates * hidden))
        bias = (w.slice(both, 1, 0, gates * hidden), w.slice(both, 1, gates * hidden, 2 * gates * hidden))
    peepholes = _part(w, w.input(7), number, (1, 3 * hidden)) if w.input(7) else ""
    return Direction(w, recurrence, bias, hidden, activations, peepholes)


def _first_state(w: Writer, number: int, batch: int, hidden: int, parts: int) -> list[str]:
    found = []
    for place in (5, 6)[:parts]:
        if not w.input(place):
            found.append(w.op("Expand", w.const(0, w.dtype(w.input(0))), w.const([batch, hidden])))
        elif w.attribute("layout", 0):
            found.append(w.reshape(w.slice(w.input(place), 1, number, number + 1), (batch, hidden)))
        else:
            found.append(_part(w, w.input(place), number, (batch, hidden)))
    return found


def _plus(w: Writer, one: str, other: str) -> str:
    return w.op("Add", one, other) if other else one


def _sums(d: Direction, product: str, state: str) -> str:
    """All gates' sums: of the input's part, the state's, and both biases."""
    together = d.w.op("Add", product, d.w.op("MatMul", state, d.recurrence))
    return _plus(d.w, _plus(d.w, together, d.bias[0]), d.bias[1])


def _rnn_cell(d: Direction, product: str, state: list[str]) -> list[str]:
    return [d.activations[0](_sums(d, product, state[0]))]


def _lstm_cell(d: Direction, product: str, state: list[str]) -> list[str]:
    w, (f, g, h) = d.w, d.activations[:3]
    hidden, cell = state
    sums = _sums(d, product, hidden)
    into, out, forget, candidate = (d.gate(sums, number) for number in range(4))

    def peeped(gate: str, number: int, at: str) -> str:
        return w.op("Add", gate, w.op("Mul", d.gate(d.peepholes, number), at)) if d.peepholes else gate

    kept = w.op("Mul", f(peeped(forget, 2, cell)), cell)
    added = w.op("Mul", f(peeped(into, 0, cell)), g(candidate))
    new = w.op("Add", kept, added)
    return [w.op("Mul", f(peeped(out, 1, new)), h(new)), new]


def _gru_cell(d: Direction, product: str, state: list[str]) -> list[str]:
    w, (f, g) = d.w, d.activations[:2]
    given = _plus(w, product, d.bias[0])
    gates = 2 * d.hidden
    kept = w.op("MatMul", state[0], w.slice(d.recurrence, 1, 0, gates))
    kept = _plus(w, kept, w.slice(d.bias[1], 1, 0, gates) if d.bias[1] else "")
    update, reset = (f(w.op("Add", d.gate(given, at), d.gate(kept, at))) for at in (0, 1))
    recurrence = w.slice(d.recurrence, 1, gates, 3 * d.hidden)
    bias = d.gate(d.bias[1], 2) if d.bias[1] else ""
    if w.attribute("linear_before_reset", 0):
        part = w.op("Mul", reset, _plus(w, w.op("MatMul", state[0], recurrence), bias))
    else:
        part = _plus(w, w.op("MatMul", w.op("Mul", reset, state[0]), recurrence), bias)
    candidate = g(w.op("Add", d.gate(given, 2), part))
    # (1 - z) * candidate + z * state
    return [w.op("Add", candidate, w.op("Mul", update, w.op("Sub", state[0], candidate)))]
