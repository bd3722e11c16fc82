"""A random ONNX graph while it is drawn: every node runs once, so that its result is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
T = TypeVar("T")
FLOATS = ("float32",)
MOST_ELEMENTS, MOST_AXES = 60_000, 6
LARGEST_FLOAT, LARGEST_WHOLE = 1e4, 1e6
ONNX_TYPE = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "float16": TensorProto.FLOAT16,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "bool": TensorProto.BOOL,
}


class Reject(Exception):  # noqa: N818 - no fault: the next draw is taken
    """This operator does not fit here; take another."""


class Graph:
    """Nodes, constants and inputs so far, and the value of each tensor on the first inputs."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.r = np.random.default_rng(seed)
        self.opset = int(self.r.choice([18, 18, 20, 21]))
        self.nodes: list[onnx.NodeProto] = []
        self.inits: list[onnx.TensorProto] = []
        self.inputs: list[str] = []
        self.v: dict[str, Array] = {}
        self.loose: set[str] = set()  # behind a jump (cast, round, argmax, comparison of inexact numbers)
        self.consts: set[str] = set()
        self.used: set[str] = set()
        self._count = 0

    def name(self, prefix: str = "t") -> str:
        """Give a name that no other tensor has."""
        self._count += 1
        return f"{prefix}{self._count}"

    def pick(self, *options: T) -> T:
        """Draw one of the options."""
        return options[int(self.r.integers(len(options)))]

    def i(self, low: int, high: int) -> int:
        """Draw a whole number, low <= i < high."""
        return int(self.r.integers(low, high))

    def chance(self, share: float) -> bool:
        """Draw True so often."""
        return bool(self.r.random() < share)

    def const(self, value: Any, dtype: Any = None) -> str:
        """Add a constant; give its name."""
        array = np.asarray(value, dtype=dtype)
        name = self.name("c")
        self.inits.append(numpy_helper.from_array(array, name))
        self.v[name] = array
        self.consts.add(name)
        return name

    def value(
        self,
        dtypes: Sequence[str] | None = None,
        *,
        rank: int | None = None,
        min_rank: int = 0,
        cond: Callable[[Array], Any] | None = None,
    ) -> str:
        """Draw a tensor that fits, mostly one of the last.

        Raises:
            Reject: there is none.
        """
        names = [
            name
            for name, array in self.v.items()
            if name not in self.consts
            and (dtypes is None or array.dtype.name in dtypes)
            and (rank is None or array.ndim == rank)
            and array.ndim >= min_rank
            and (cond is None or cond(array))
        ]
        if not names:
            raise Reject
        return self.pick(*(names[-6:] if self.chance(0.7) else names))

    def add(
        self, op: str, ins: list[str], n_out: int = 1, *, jump: bool = False, domain: str = "", **attrs: Any
    ) -> list[str]:
        """Add a node, whose attributes that are None are left out; give its outputs' names.

        `jump` says that a small change of a float input may change the result by much.

        Raises:
            Reject: ONNX Runtime refuses it, or a result is empty, too large or not finite.
        """
        given = {key: each for key, each in attrs.items() if each is not None}
        outs = [self.name() for _ in range(n_out)]
        node = helper.make_node(op, ins, outs, name=f"n{len(self.nodes)}_{op}", domain=domain, **given)
        got = run_node(node, {name: self.v[name] for name in ins if name}, self.opset)
        if not all(map(_fits, got)):
            raise Reject
        self.nodes.append(node)
        floats = any(self.v[name].dtype.kind == "f" and name not in self.consts for name in ins if name)
        dirty = any(name in self.loose for name in ins if name) or (jump and floats)
        for name, array in zip(outs, got, strict=True):
            self.v[name] = array
            if dirty:
                self.loose.add(name)
        self.used.update(name for name in ins if name)
        return outs

    def model(self, open_axis: str = "") -> onnx.ModelProto:
        """Give the model: what nothing reads is an output, and so is a part of the rest.

        With `open_axis` the first axis of all inputs has this name instead of a size.
        """
        made = [name for name in self.v if name not in self.consts and name not in self.inputs]
        leaves = [name for name in made if name not in self.used]
        extra = [name for name in made if name not in leaves and self.chance(0.08)]
        graph = helper.make_graph(
            self.nodes,
            f"fuzz{self.seed}",
            [self._info(name, open_axis) for name in self.inputs],
            [
                helper.make_tensor_value_info(name, self._kind(name), [None] * self.v[name].ndim)
                if open_axis
                else self._info(name, "")
                for name in dict.fromkeys(leaves + extra)
            ],
            self.inits,
        )
        domains = {node.domain for node in self.nodes} - {""}
        opsets = [helper.make_opsetid("", self.opset), *(helper.make_opsetid(each, 1) for each in domains)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        onnx.checker.check_model(model)
        return model

    def _kind(self, name: str) -> int:
        return int(ONNX_TYPE[self.v[name].dtype.name])

    def _info(self, name: str, open_axis: str) -> onnx.ValueInfoProto:
        shape: list[int | str] = list(self.v[name].shape)
        return helper.make_tensor_value_info(
            name, self._kind(name), [open_axis, *shape[1:]] if open_axis else shape
        )


def _fits(array: Array) -> bool:
    if array.size == 0 or array.size > MOST_ELEMENTS or array.ndim > MOST_AXES:
        return False
    if array.dtype.kind == "f":
        return bool(np.isfinite(array).all() and np.abs(array).max() <= LARGEST_FLOAT)
    return array.dtype.kind != "i" or bool(np.abs(array.astype(np.int64)).max() <= LARGEST_WHOLE)


def run_node(node: onnx.NodeProto, feeds: dict[str, Array], opset: int) -> list[Array]:
    """Run one node in ONNX Runtime.

    Raises:
        Reject: it refuses.
    """
    given = [
        helper.make_tensor_value_info(name, ONNX_TYPE[array.dtype.name], array.shape)
        for name, array in feeds.items()
    ]
    wanted = [helper.make_empty_tensor_value_info(name) for name in node.output]
    graph = helper.make_graph([node], "one", given, wanted)
    opsets = [helper.make_opsetid("", opset)]
    opsets += [helper.make_opsetid(node.domain, 1)] if node.domain else []
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    try:
        found: list[Array] = session_of(model).run(None, feeds)
    except Exception as error:  # whatever ONNX Runtime says: the node is none that a model could have
        raise Reject from error
    return found


def session_of(model: onnx.ModelProto, *, optimized: bool = False) -> Any:
    """Give a session of ONNX Runtime on one thread; it computes every node as it stands, or as it likes."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def sample(r: np.random.Generator, shape: Sequence[int], dtype: str) -> Array:
    """Draw numbers of a type: of floats some to halves, so that there are ties."""
    if dtype == "bool":
        return r.random(shape) < 0.5
    if dtype.startswith("float"):
        array = r.standard_normal(shape)
        return np.asarray(np.round(array * 2) / 2 if r.random() < 0.3 else array, dtype)
    low, high = (0, 20) if dtype == "uint8" else (-10, 11)
    return np.asarray(r.integers(low, high, shape), dtype)
