"""What an ONNX model of open sizes says: its graph as plain records, for `base.rowflow`, and its divisors."""

from __future__ import annotations

import onnx
from onnx import helper, inliner, numpy_helper

from modeldyno.base.rowflow.from_onnx import Reader
from modeldyno.base.rowflow.records import Graph

# Operators that give their first input's values, in another shape.
_MOVES = frozenset(
    ("Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Expand", "Slice")
)


def graph_records(model: onnx.ModelProto) -> Graph:
    """Give the main graph, the model's own functions inlined.

    Raises:
        Exception: whatever onnx raises about a model that is not as it should be.
    """
    if model.functions:
        model = inliner.inline_local_functions(model)
    return Reader(helper.get_attribute_value, numpy_helper.to_array, weights=True).graph(model)


def divisors(model: onnx.ModelProto) -> frozenset[str]:
    """Names of the inputs that numbers are divided by, as they are or in another shape."""
    same = {value.name: value.name for value in model.graph.input}
    found = set()
    for node in model.graph.node:
        if node.op_type in _MOVES and node.input[0] in same:
            same[node.output[0]] = same[node.input[0]]
        if node.op_type in ("Div", "Mod") and node.input[1] in same:
            found.add(same[node.input[1]])
    return frozenset(found)
