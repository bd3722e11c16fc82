"""Random graphs with rows in them, and what ONNX Runtime makes of rows joined, single and padded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from modeldyno.base.rowflow.from_onnx import Reader
from modeldyno.base.rowflow.records import Graph, Mode
from modeldyno.base.rowflow.sizes import ONE, ROWS
from modeldyno.base.rowflow.values import FREE, Rows, State
from modeldyno.base.rowflow.walk import Question, walked

Array = npt.NDArray[Any]
FLOAT = TensorProto.FLOAT


def graph_of(model: onnx.ModelProto) -> Graph:
    """Give a model's graph as records."""
    return Reader(helper.get_attribute_value, numpy_helper.to_array, weights=True).graph(model)


class Draw:
    """A graph that grows operator by operator, on an input of shape [rows, 3, 4]."""

    def __init__(self, seed: int, *, at: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.shape = [3, 4]
        self.shape.insert(at, 5)
        self.at = at
        self.pool: list[tuple[str, int]] = [("x", 3)]  # names and ranks
        sample: list[Any] = list(self.shape)
        sample[at] = "rows"
        self.input = helper.make_tensor_value_info("x", FLOAT, sample)

    def constant(self, values: Any, dtype: str = "int64") -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def add(self, operator: str, inputs: list[str], rank: int, outputs: int = 1, **attributes: Any) -> str:
        names = [f"t{len(self.nodes)}_{at}" for at in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        self.pool.append((names[0], rank))
        return names[0]

    def model(self, output: str) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes, "g", [self.input], [onnx.ValueInfoProto(name=output)], self.constants
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


UNARY = ("Relu", "Tanh", "Sigmoid", "Neg", "Abs", "Softplus", "Sqrt", "Sin", "Cos", "Floor", "Sign")
BINARY = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Mean", "Sum")
REDUCE = ("Sum", "Mean", "Max", "Min", "L1", "L2", "SumSquare", "LogSumExp", "Prod")
ALONG = ("Softmax", "LogSoftmax", "Hardmax", "LpNormalization")


def grow(draw: Draw) -> None:
    """Add one operator, picked and parametrised at random; many of them fit no shape, which ORT will say."""
    rng = draw.rng
    x, rank = draw.pool[-1] if rng.random() < 0.7 else draw.pool[rng.integers(len(draw.pool))]
    if not rank:
        return
    axis = int(rng.integers(rank))
    kinds = (_plain, _moved, _reduced, _shaped, _cut, _multiplied, _by_shape, _windowed, _picked, _normed)
    kinds[rng.integers(len(kinds))](draw, x, rank, axis)


def _plain(draw: Draw, x: str, rank: int, axis: int) -> None:
    rng = draw.rng
    if rng.random() < 0.5:
        draw.add(str(rng.choice(UNARY)), [x], rank)
        return
    other, other_rank = draw.pool[rng.integers(len(draw.pool))]
    if rng.random() < 0.3:
        sizes = [int(rng.choice([1, 3, 4])) for _ in range(rng.integers(3))]
        other, other_rank = draw.constant(rng.normal(size=sizes), "float32"), len(sizes)
    draw.add(str(rng.choice(BINARY)), [x, other], max(rank, other_rank))


def _moved(draw: Draw, x: str, rank: int, axis: int) -> None:
    rng = draw.rng
    which = rng.integers(5)
    if which == 0:
        draw.add("Transpose", [x], rank, perm=[int(each) for each in rng.permutation(rank)])
    elif which == 1:
        draw.add("Unsqueeze", [x, draw.constant([int(rng.integers(rank + 1))])], rank + 1)
    elif which == 2:
        draw.add("Squeeze", [x, draw.constant([axis])], rank - 1)
    elif which == 3:
        draw.add("Flatten", [x], 2, axis=axis)
    else:
        other = draw.pool[rng.integers(len(draw.pool))][0] if rng.random() < 0.5 else x
        draw.add("Concat", [x, other], rank, axis=axis)


def _reduced(draw: Draw, x: str, rank: int, axis: int) -> None:
    rng = draw.rng
    keep = int(rng.integers(2))
    which = rng.integers(5)
    if which == 0:
        operator = str(rng.choice(("ArgMax", "ArgMin")))
        draw.add(operator, [x], rank if keep else rank - 1, axis=axis, keepdims=keep)
        draw.add("Cast", [draw.pool[-1][0]], draw.pool[-1][1], to=FLOAT)
    elif which == 1:
        draw.add(str(rng.choice(ALONG)), [x], rank, axis=axis)
    elif which == 2:
        draw.add("CumSum", [x, draw.constant(axis)], rank, reverse=int(rng.integers(2)))
    elif which == 3:
        draw.add("TopK", [x, draw.constant([1])], rank, 2, axis=axis)
    else:
        operator = f"Reduce{rng.choice(REDUCE)}"
        draw.add(operator, [x, draw.constant([axis])], rank if keep else rank - 1, keepdims=keep)


def _shaped(draw: Draw, x: str, rank: int, axis: int) -> None:
    targets = (
        [-1, 12],
        [0, -1],
        [12, -1],
        [-1],
        [0, 0, -1],
        [3, 4, -1],
        [3, -1, 4],
        [-1, 2],
        [0, 2, -1],
        [-1, 3, 2],
    )
    wanted = targets[draw.rng.integers(len(targets))]
    draw.add("Reshape", [x, draw.constant(wanted)], len(wanted))


def _cut(draw: Draw, x: str, rank: int, axis: int) -> None:
    rng = draw.rng
    which = rng.integers(5)
    if which == 0:
        start, end = int(rng.choice([0, 0, 1, -1])), int(rng.choice([1, 2, -1, 1 << 40]))
        cut = [draw.constant([each]) for each in (start, end, axis)]
        draw.add("Slice", [x, *cut], rank)
    elif which == 1:
        draw.add("Gather", [x, draw.constant(int(rng.choice([0, 1, -1])))], rank - 1, axis=axis)
    elif which == 2:
        pads = [0] * 2 * rank
        pads[axis + rank * int(rng.integers(2))] = 1
        draw.add("Pad", [x, draw.constant(pads)], rank, mode=str(rng.choice(["constant", "edge"])))
    elif which == 3:
        parts = draw.add("Split", [x], rank, 2, axis=axis, num_outputs=2)
        draw.pool.append((parts[:-1] + "1", rank))
    else:
        times = [1] * rank
        times[axis] = 2
        draw.add("Tile", [x, draw.constant(times)], rank)


def _multiplied(draw: Draw, x: str, rank: int, axis: int) -> None:
    rng = draw.rng
    which = rng.integers(4)
    size = int(rng.choice([3, 4, 12]))
    weights = draw.constant(rng.normal(size=(size, size)), "float32")
    if which == 0:
        draw.add("MatMul", [x, weights], rank)
    elif which == 1:
        draw.add("MatMul", [weights, x], rank)
    elif which == 2:
        turned = draw.add("Transpose", [x], rank, perm=[*range(rank - 2), rank - 1, rank - 2])
        draw.add("MatMul", [x, turned], rank)
    else:
        draw.add("Gemm", [x, weights], 2, transA=int(rng.integers(2)))


def _by_shape(draw: Draw, x: str, rank: int, axis: int) -> None:
    """What exporters write: Shape, Gather, Concat, and Reshape or Expand by it; or a size computed with."""
    rng = draw.rng
    shape = draw.add("Shape", [x], 1)
    one = draw.add("Gather", [shape, draw.constant([axis])], 1)
    which = rng.integers(5)
    if which == 0:
        rest = [int(each) for each in rng.choice([-1, 12, 3, 4], size=rng.integers(1, 3))]
        wanted = draw.add("Concat", [one, draw.constant(rest)], 1, axis=0)
        draw.pool.pop()
        draw.add("Reshape", [x, wanted], 1 + len(rest))
    elif which == 1:
        wanted = draw.add("Concat", [one, draw.constant([1] * int(rng.integers(3)))], 1, axis=0)
        draw.add("Expand", [draw.constant(rng.normal(size=[1]), "float32"), wanted], 2)
    elif which == 2:
        draw.add("Expand", [x, shape], rank)
    elif which == 3:
        number = draw.add("Cast", [one], 1, to=FLOAT)
        draw.add("Mul", [x, number], rank)
    else:
        count = draw.add("Squeeze", [one, draw.constant([0])], 0)
        made = draw.add("Range", [draw.constant(0), count, draw.constant(1)], 1)
        draw.add("Cast", [made], 1, to=FLOAT)
    draw.pool[:] = [each for each in draw.pool if each[0] not in (shape, one)]


def _windowed(draw: Draw, x: str, rank: int, axis: int) -> None:
    rng = draw.rng
    if rank != 3:
        return
    extent, step = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    ends = [int(rng.integers(extent)), int(rng.integers(extent))]
    which = rng.integers(4)
    if which == 0:
        size = int(rng.choice([3, 4]))
        weights = draw.constant(rng.normal(size=(size, size, extent)), "float32")
        bias = [draw.constant(rng.normal(size=[size]), "float32")] * int(rng.integers(2))
        draw.add("Conv", [x, weights, *bias], 3, pads=ends, strides=[step], kernel_shape=[extent])
    elif which == 1:
        more = {"count_include_pad": int(rng.integers(2))}
        draw.add("AveragePool", [x], 3, kernel_shape=[extent], pads=ends, strides=[step], **more)
    elif which == 2:
        draw.add("MaxPool", [x], 3, kernel_shape=[extent], pads=ends, strides=[step])
    else:
        draw.add(str(rng.choice(["GlobalMaxPool", "GlobalAveragePool"])), [x], 3)


def _picked(draw: Draw, x: str, rank: int, axis: int) -> None:
    """Operators that pick, place or compare: by whole numbers that are made of the rows."""
    rng = draw.rng
    other = draw.pool[rng.integers(len(draw.pool))][0]
    sign = draw.add("Sign", [x], rank)
    ids = draw.add("Cast", [draw.add("Abs", [sign], rank)], rank, to=TensorProto.INT64)
    draw.pool[:] = [each for each in draw.pool if each[0] != ids]
    which = rng.integers(5)  # no GatherND: ONNX Runtime ends the process where its indices do not fit
    if which == 0:
        table = draw.constant(rng.normal(size=(4, 2)), "float32")
        draw.add("Gather", [table, ids], rank + 1)
    elif which == 1:
        draw.add("GatherElements", [other, ids], rank, axis=axis)
    elif which == 2:
        draw.add(
            "ScatterElements", [other, ids, x], rank, axis=axis, reduction=str(rng.choice(["add", "none"]))
        )
    elif which == 3:
        values = [draw.constant([2]), draw.constant([0.0, 1.0], "float32")]
        draw.add("OneHot", [ids, *values], rank + 1, axis=int(rng.integers(rank + 1)))
    else:
        test = draw.add("Greater", [x, other], rank)
        draw.pool.pop()
        draw.add("Where", [test, x, draw.constant(rng.normal(size=[1]), "float32")], rank)


def _normed(draw: Draw, x: str, rank: int, axis: int) -> None:
    rng = draw.rng
    size = int(rng.choice([3, 4]))
    scale, shift = (draw.constant(rng.normal(size=[size]), "float32") for _ in range(2))
    which = rng.integers(7)
    if which == 0:
        draw.add("LayerNormalization", [x, scale, shift], rank, axis=axis)
    elif which == 1:
        draw.add("InstanceNormalization", [x, scale, shift], rank)
    elif which == 2:
        positive = draw.constant(rng.uniform(1, 2, [size]), "float32")
        draw.add("BatchNormalization", [x, scale, shift, shift, positive], rank)
    elif which == 3:
        draw.add("Clip", [x, draw.constant(0.0, "float32"), draw.constant(6.0, "float32")], rank)
    elif which == 4:
        draw.add("Trilu", [x], rank, upper=int(rng.integers(2)))
    elif which == 5:
        letters = "abcd"[:rank]
        kept = "".join(str(each) for each in rng.permutation(list(letters))[: rng.integers(1, rank + 1)])
        draw.add("Einsum", [x, x], len(kept), equation=f"{letters},{letters}->{kept}")
    else:
        weights = [draw.constant(rng.normal(size=(1, 2, each)), "float32") for each in (size, 2)]
        way = str(rng.choice(["forward", "reverse"]))
        draw.add("RNN", [x, *weights], 4, hidden_size=2, direction=way)


def session_of(model: onnx.ModelProto) -> Any | None:
    """Open a model; None where it is none."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception:
        return None


def state_of(model: onnx.ModelProto, at: int, mode: Mode) -> State:
    """Give where the rows of input `x` lie in the only output."""
    values = walked(graph_of(model), Question({"x": at}, mode, low=LOW))
    return values[model.graph.output[0].name].state


def holds(model: onnx.ModelProto, at: int, mode: Mode, seed: int) -> bool | None:
    """Say whether a claim of the analysis holds in ONNX Runtime; None: no sizes fit, or none is made."""
    session, state = session_of(model), state_of(model, at, mode)
    if session is None or (not isinstance(state, Rows) and state is not FREE):
        return None
    check = _joined_holds if mode is Mode.JOIN else _padded_holds
    found = [check(session, state, at, parts) for parts in _samples(model, at, np.random.default_rng(seed))]
    told = [each for each in found if each is not None]
    return all(told) if told else None


LOW = 2  # rows that a padded request has at least
_SIGNS: tuple[Callable[[np.random.Generator, tuple[int, ...]], Array], ...] = (
    lambda rng, shape: rng.normal(size=shape),
    lambda rng, shape: -1 - 10 * np.abs(rng.normal(size=shape)),
    lambda rng, shape: 1 + 300 * np.abs(rng.normal(size=shape)),
)


def _samples(model: onnx.ModelProto, at: int, rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    """Give pairs of requests: the second follows the first, or is what it is padded by."""
    dims = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    for one, two in ((1, 1), (2, 3), (3, 1)):
        for number, draw in enumerate(_SIGNS):
            shapes = [(*dims[:at], count, *dims[at + 1 :]) for count in (one, two)]
            other = _SIGNS[(number + one) % len(_SIGNS)]
            yield draw(rng, shapes[0]).astype("f4"), other(rng, shapes[1]).astype("f4")


def _joined_holds(session: Any, state: State, at: int, parts: tuple[Array, Array]) -> bool | None:
    one, two = parts
    found = [ran(session, each) for each in (one, two, np.concatenate(parts, at))]
    if any(each is None for each in found):
        return None
    first, second, both = (np.asarray(each) for each in found)
    if not isinstance(state, Rows):
        return same(first, second) and same(first, both)
    counts = (one.shape[at], two.shape[at])
    alone = [rows_of(array, state, count) for array, count in zip((first, second), counts, strict=True)]
    return same(rows_of(both, state, sum(counts)), np.concatenate(alone))


def _padded_holds(session: Any, state: State, at: int, parts: tuple[Array, Array]) -> bool | None:
    one = np.concatenate([parts[0], parts[0]], at)  # LOW rows at least
    first, padded = ran(session, one), ran(session, np.concatenate([one, np.zeros_like(parts[1])], at))
    if first is None or padded is None:
        return None
    if not isinstance(state, Rows):
        return same(first, padded)
    if state.outer == ONE:
        kept = (slice(None),) * state.at + (slice(first.shape[state.at]),)
        return first.ndim == padded.ndim and same(padded[kept], first)
    if state.count != ROWS:
        return None
    rows = rows_of(padded, state, one.shape[at] + parts[1].shape[at])
    return same(rows[: one.shape[at]], rows_of(first, state, one.shape[at]))


def same(one: Array, other: Array) -> bool:
    """Whether two arrays are equal but for rounding."""
    return one.shape == other.shape and np.allclose(one, other, rtol=1e-3, atol=1e-4, equal_nan=True)


def ran(session: Any, x: Array) -> Array | None:
    """Run; None where these sizes do not fit."""
    try:
        return np.asarray(session.run(None, {"x": x})[0])
    except Exception:
        return None


def rows_of(array: Array, rows: Rows, count: int) -> Array:
    """Give an output with its rows in front: [count, ...]."""
    outer = rows.outer.known or 1
    inner = array.shape[rows.at] // (outer * count)
    split = (*array.shape[: rows.at], outer, count, inner, *array.shape[rows.at + 1 :])
    return np.moveaxis(array.reshape(split), rows.at + 1, 0)
