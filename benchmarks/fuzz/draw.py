"""Drawing a random ONNX graph of some 5 to 25 nodes, and inputs of four kinds for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.fuzz import elementwise, moves, sums, windows
from benchmarks.fuzz.graph import Array, Graph, Reject, sample, session_of

if TYPE_CHECKING:
    import onnx

Operator = Callable[[Graph], None]
SIZES = (1, 1, 2, 3, 5, 7, 8, 13, 17, 33)
MOST_INPUT, MOST_TRIES, MOST_DRAWS = 20_000, 400, 20
OPEN_SIZES = (1, 3, 4)  # of the open axis, tried on graphs that are compiled for a range
NORMAL, DECADES, LARGE, NON_FINITE = range(4)  # kinds of inputs

# As often as they stand here.
OPERATORS: tuple[Operator, ...] = (
    *[elementwise.unary] * 5,
    *[elementwise.binary] * 5,
    *[windows.conv] * 5,
    *[windows.pool] * 4,
    *[sums.reduce] * 3,
    *[moves.slice_] * 3,
    *[moves.pad] * 3,
    *[sums.norm] * 3,
    *[sums.matmul] * 3,
    *[sums.gemm] * 2,
    *[sums.softmax] * 2,
    *[moves.concat] * 2,
    *[moves.split] * 2,
    *[moves.gather] * 2,
    *[moves.transpose] * 3,
    *[moves.reshape] * 2,
    *[windows.resize] * 2,
    *[windows.conv_transpose] * 2,
    *[elementwise.cast] * 2,
    *[elementwise.compare] * 2,
    *(elementwise.gelu, elementwise.rounding, elementwise.positive, elementwise.div, elementwise.power),
    *(elementwise.logic, elementwise.bits, elementwise.clip, elementwise.prelu),
    *(moves.flatten, moves.squeeze, moves.unsqueeze, moves.expand, moves.tile, moves.depth_space),
    *(moves.scatter, sums.arg, sums.topk, sums.cumsum, windows.global_pool, sums.einsum, sums.qdq),
    *(moves.trilu, moves.one_hot, moves.shape_math),
)
# Those that mostly leave the first axis alone.
ROW_OPERATORS: tuple[Operator, ...] = (
    *[elementwise.unary] * 5,
    *[elementwise.clip] * 2,
    *[windows.conv] * 4,
    *[windows.pool] * 3,
    *[sums.reduce] * 2,
    *[sums.norm] * 3,
    *[sums.softmax] * 2,
    *(sums.matmul, sums.matmul, sums.arg, windows.global_pool, windows.resize, moves.split, moves.shape_math),
    *(elementwise.rounding, elementwise.positive, elementwise.power, elementwise.binary, elementwise.binary),
)


def draw(seed: int) -> tuple[Graph, onnx.ModelProto]:
    """Draw a graph of fixed shapes.

    Raises:
        Reject: ONNX Runtime loads none of as many graphs as are tried.
    """
    for again in range(MOST_DRAWS):
        graph = _inputs(Graph(seed + again * (1 << 32)))
        _grow(graph, OPERATORS, graph.i(5, 26))
        model = graph.model()
        if _runs(model, feeds(graph, NORMAL)):
            return graph, model
    raise Reject


def draw_open(seed: int) -> tuple[Graph, onnx.ModelProto]:
    """Draw a graph whose first axis is open, and which ONNX Runtime runs at several sizes of it.

    Raises:
        Reject: none of as many graphs as are tried is one.
    """
    for again in range(MOST_DRAWS):
        graph = _inputs(Graph(seed + again * (1 << 32)), inputs=1, first=2)
        _grow(graph, ROW_OPERATORS, graph.i(2, 9))
        model = graph.model("n")
        if graph.nodes and all(_runs(model, feeds(graph, NORMAL, size)) for size in OPEN_SIZES):
            return graph, model
    raise Reject


def draw_foreign(seed: int) -> tuple[Graph, onnx.ModelProto]:
    """Draw a graph with an operator of Microsoft's domain in the middle, which is not compiled.

    Raises:
        Reject: none of as many graphs as are tried is one.
    """
    for again in range(MOST_DRAWS):
        graph = _inputs(Graph(seed + again * (1 << 32)))
        _grow(graph, OPERATORS, graph.i(2, 8))
        try:
            (made,) = graph.add("QuickGelu", [graph.value(("float32",))], domain="com.microsoft", alpha=1.7)
            graph.add("Add", [made, graph.const(np.float32(0.5))])
        except Reject:
            continue
        _grow(graph, OPERATORS, graph.i(3, 12))
        model = graph.model()
        if _runs(model, feeds(graph, NORMAL)):
            return graph, model
    raise Reject


def _inputs(graph: Graph, inputs: int | None = None, first: int = 0) -> Graph:
    """Draw the inputs; `first` is the size of all first axes, if it is given."""
    for number in range(inputs or graph.i(1, 4)):
        rank = graph.pick(1, 2, 3, 4, 4, 4, 5) if number else graph.pick(2, 3, 4, 4, 4, 5)
        while True:
            shape = tuple(graph.pick(*SIZES) for _ in range(rank))
            if np.prod(shape) <= MOST_INPUT:
                break
        dtype = "float32"
        if number:
            dtype = graph.pick("float32", "float32", "int64", "int32", "bool", "uint8")
        shape = (first, *shape[1:]) if first else shape
        graph.v[f"in{number}"] = sample(graph.r, shape, dtype)
        graph.inputs.append(f"in{number}")
    return graph


def _grow(graph: Graph, operators: Sequence[Operator], more: int) -> None:
    """Add so many nodes, or as many as fit."""
    wanted, tries = len(graph.nodes) + more, 0
    while len(graph.nodes) < wanted and tries < MOST_TRIES:
        tries += 1
        try:
            graph.pick(*operators)(graph)
        except Reject:
            continue


def _runs(model: onnx.ModelProto, given: dict[str, Array]) -> bool:
    """Whether ONNX Runtime takes a model as it stands and optimized, which users' sessions are."""
    try:
        session_of(model).run(None, given)
        session_of(model, optimized=True)
    except Exception:  # whatever ONNX Runtime says: another graph is drawn
        return False
    return True


def feeds(graph: Graph, kind: int, first: int = 0) -> dict[str, Array]:
    """Give inputs of a kind; `first` is the size of the open axis, if there is one."""
    r = np.random.default_rng(graph.seed % (1 << 32) + 1_000_003 * (kind + 1))
    found = {}
    for name in graph.inputs:
        like = graph.v[name]
        shape = (first, *like.shape[1:]) if first else like.shape
        found[name] = spiced(r, sample(r, shape, like.dtype.name), kind)
    return found


def spiced(r: np.random.Generator, array: Array, kind: int) -> Array:
    """Make normal numbers those of a kind: over seven decades, 10,000 times, with NaN and infinities."""
    dtype = array.dtype
    if dtype.kind == "f":
        if kind == DECADES:
            return np.asarray(array * 10.0 ** r.integers(-3, 4, array.shape), dtype)
        if kind == LARGE:
            return np.asarray(array * 1e4, dtype)
        if kind == NON_FINITE:
            where = r.random(array.shape) < 0.1
            return np.asarray(np.where(where, r.choice([np.nan, np.inf, -np.inf, -0.0, 0.0]), array), dtype)
    elif kind == LARGE and dtype.kind == "i":
        return np.asarray(array * 1000, dtype)
    elif kind == LARGE and dtype == np.uint8:
        return r.integers(0, 256, array.shape).astype(np.uint8)
    return array
