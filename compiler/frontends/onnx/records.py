"""An ONNX model's graph as plain records, for what `base.rowflow` says of its rows."""

from __future__ import annotations

import onnx
from onnx import helper, inliner, numpy_helper

from modeldyno.base.rowflow.from_onnx import Reader
from modeldyno.base.rowflow.records import Graph


def graph_records(model: onnx.ModelProto) -> Graph:
    """Give the main graph, the model's own functions inlined.

    Raises:
        Exception: whatever onnx raises about a model that is not as it should be.
    """
    if model.functions:
        model = inliner.inline_local_functions(model)
    return Reader(helper.get_attribute_value, numpy_helper.to_array, weights=True).graph(model)
