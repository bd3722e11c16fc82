"""What TVM's front end for ONNX calls to convert an operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from tvm import relax
    from tvm.relax.frontend.onnx.onnx_frontend import onnx_input

# Initializers and graph inputs by name, as TVM's importer hands them to each converter.
Params: TypeAlias = "list[dict[str, relax.Expr]]"
# From the builder, the inputs, the attributes and the parameters to the expression of the result.
Converter: TypeAlias = "Callable[[relax.BlockBuilder, onnx_input, dict[str, Any], Params], relax.Expr]"
