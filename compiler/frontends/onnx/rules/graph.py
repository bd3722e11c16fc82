"""What a rule writes its operators with: names for results, constants, facts about what it reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from modeldyno.compiler.model.arrays import Array

WITHIN = "dyno.within "  # begins the name of a node that checks, and is followed by JSON


class Refused(NotImplementedError):  # noqa: N818 - it says what a rule did
    """A rule knows the operator and says what of it is not supported, and the way out."""


@dataclass
class Facts:
    """What is known of a graph's values: element types, fixed shapes, and constants."""

    dtypes: dict[str, Any] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)


class Writer:
    """The operators that stand for one node. Every result has a name that nothing else in the graph has."""

    def __init__(self, node: onnx.NodeProto, facts: Facts, prefix: str, opset: int) -> None:
        self.node = node
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        self._facts = facts
        self._prefix = prefix

    def attribute(self, name: str, default: object = None) -> Any:
        """Give the node's attribute; text as str."""
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def input(self, place: int) -> str:
        """Name of an input; empty where it is left out."""
        return self.node.input[place] if place < len(self.node.input) else ""

    def wants(self, place: int) -> bool:
        """Whether the node gives this output."""
        return place < len(self.node.output) and bool(self.node.output[place])

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of one of the node's inputs; KeyError where it isn't known, which ends the rule."""
        return self._facts.shapes[name]

    def dtype(self, name: str) -> np.dtype[Any]:
        """Numpy's element type of one of the node's inputs; KeyError where it isn't known."""
        return self._facts.dtypes[name]

    def value(self, name: str) -> Array | None:
        """Give the numbers of an input that is constant; None for any other."""
        tensor = self._facts.constants.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def const(self, values: npt.ArrayLike, dtype: npt.DTypeLike = np.int64) -> str:
        """Name a constant."""
        name = self._name()
        tensor = numpy_helper.from_array(np.asarray(values, dtype), name)
        self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        return name

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Write an operator of one output; give its name."""
        return self.ops(kind, *inputs, outputs=1, **attributes)[0]

    def ops(self, kind: str, *inputs: str, outputs: int, domain: str = "", **attributes: Any) -> list[str]:
        """Write an operator of several outputs; give their names."""
        names = [f"{self._name()}_{place}" for place in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, domain=domain, **attributes))
        return names

    def cast(self, name: str, dtype: npt.DTypeLike) -> str:
        """Convert to a type of numpy's."""
        return self.op("Cast", name, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def reshape(self, name: str, shape: Sequence[int]) -> str:
        """Give the same numbers another shape."""
        return self.op("Reshape", name, self.const(list(shape)))

    def transpose(self, name: str, axes: Sequence[int]) -> str:
        """Put the axes into another order."""
        return self.op("Transpose", name, perm=list(axes))

    def slice(self, name: str, axis: int, begin: int, end: int) -> str:
        """Give `begin` to `end` of an axis."""
        return self.op("Slice", name, self.const([begin]), self.const([end]), self.const([axis]))

    def within(self, place: int, high: int) -> str:
        """Give an input of whole numbers, each of which must be 0 to `high`.

        ONNX has no check of its own: this is a table whose rows hold their numbers. The node's name tells the
        importer whose input it is.
        """
        name = self.input(place)
        owner = {"operator": self.node.op_type, "node": self.node.name or self.node.output[0], "input": name}
        found = self.op("Gather", self.const(np.arange(high + 1), self.dtype(name)), name)
        self.nodes[-1].name = f"{WITHIN}{json.dumps(owner)}"
        return found

    def pad(self, name: str, pads: Sequence[int]) -> str:
        """Pad with zeros: what comes before each axis, then what comes behind."""
        if self.opset >= 11:
            return self.op("Pad", name, self.const(list(pads)))
        return self.op("Pad", name, pads=list(pads))

    def reduce(self, kind: str, name: str, axes: Sequence[int], *, keep: bool = True) -> str:
        """Reduce over axes; ONNX moved them from an attribute to an input, each kind in another opset."""
        if self.opset >= (13 if kind == "ReduceSum" else 18):
            return self.op(kind, name, self.const(list(axes)), keepdims=int(keep))
        return self.op(kind, name, axes=list(axes), keepdims=int(keep))

    def _name(self) -> str:
        return f"{self._prefix}{len(self.nodes)}_{sum(len(node.output) for node in self.nodes)}"


# Gives the names that stand for the node's outputs, or None where the node is not for the rule.
Rule = Callable[[Writer], "list[str] | None"]
