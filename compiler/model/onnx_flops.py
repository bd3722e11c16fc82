"""The work of ONNX operators, counted from shapes: what shares of a model are taken of.

Products count 2 for each multiply-add: convolutions, matrix products, attention and recurrent operators,
whatever their number types. Any other operator counts 1 for each element that it gives. The body of a loop
counts once for each turn where their number is known, and once where it isn't.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import onnx
from onnx import helper

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


def node_flops(node: onnx.NodeProto, shapes: Shapes) -> int:
    """Count the operations of one node.

    Raises:
        ValueError: the shape of a tensor that counts is not known.
    """
    bodies = [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]
    if bodies:
        # One branch of If runs: the larger stands for both.
        return _turns(node, shapes) * max(_graph_flops(body, shapes) for body in bodies)
    counter = COUNTERS.get(node.op_type, _elements)
    return counter(node, shapes)


def _graph_flops(graph: onnx.GraphProto, outer: Shapes) -> int:
    inner = {**outer, **fixed_shapes((*graph.input, *graph.value_info, *graph.output), graph.initializer)}
    return sum(node_flops(node, inner) for node in graph.node)


def _turns(node: onnx.NodeProto, shapes: Shapes) -> int:
    if node.op_type != "Scan":
        return 1
    scanned = next(a.i for a in node.attribute if a.name == "num_scan_inputs")
    return next((shapes[name][0] for name in node.input[-scanned:] if shapes.get(name)), 1)


def fixed_shapes(
    values: Iterable[onnx.ValueInfoProto], initializers: Iterable[onnx.TensorProto] = ()
) -> dict[str, Shape]:
    """Give the shapes that are known in full, by name; those of constants too."""
    found = {value.name: fixed_shape(value.type) for value in values}
    known = {name: shape for name, shape in found.items() if shape is not None}
    return known | {tensor.name: tuple(tensor.dims) for tensor in initializers}


def fixed_shape(kind: onnx.TypeProto) -> Shape | None:
    """Give the shape of a tensor whose axes are all known, those of size 0 too; None for any other."""
    if not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
        return None
    sizes = kind.tensor_type.shape.dim
    if not all(size.HasField("dim_value") and size.dim_value >= 0 for size in sizes):
        return None
    return tuple(size.dim_value for size in sizes)


def _known(node: onnx.NodeProto, name: str, shapes: Shapes) -> Shape:
    if name not in shapes:
        raise ValueError(
            f"{node.op_type} {node.name or node.output[0]!r}: the shape of {name!r} is not known"
        )
    return shapes[name]


def _elements(node: onnx.NodeProto, shapes: Shapes) -> int:
    return max(math.prod(_known(node, name, shapes)) for name in node.output if name)


def _over_filter(weights: int) -> Callable[[onnx.NodeProto, Shapes], int]:
    # Every output element is a sum over the filter: [input channels of a group, *kernel].
    def count(node: onnx.NodeProto, shapes: Shapes) -> int:
        given = math.prod(_known(node, node.output[0], shapes))
        return 2 * given * math.prod(_known(node, node.input[weights], shapes)[1:])

    return count


def _conv_transpose(node: onnx.NodeProto, shapes: Shapes) -> int:
    # Every input element is spread over the filter: [output channels of a group, *kernel].
    read = math.prod(_known(node, node.input[0], shapes))
    return 2 * read * math.prod(_known(node, node.input[1], shapes)[1:])


def _gemm(node: onnx.NodeProto, shapes: Shapes) -> int:
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    depth = _known(node, node.input[0], shapes)[0 if transposed else 1]
    return 2 * math.prod(_known(node, node.output[0], shapes)) * depth


def _matmul(node: onnx.NodeProto, shapes: Shapes) -> int:
    depth = _known(node, node.input[0], shapes)[-1]
    return 2 * math.prod(_known(node, node.output[0], shapes)) * depth


def _recurrent(node: onnx.NodeProto, shapes: Shapes) -> int:
    # Steps x batch rows, each through both weights of each direction; the order of the two axes is all one.
    rows = math.prod(_known(node, node.input[0], shapes)[:2])
    weights = sum(math.prod(_known(node, name, shapes)) for name in node.input[1:3])
    return 2 * rows * weights


def _attention(node: onnx.NodeProto, shapes: Shapes) -> int:
    if node.domain:
        return _packed_attention(node, shapes)
    # Queries by keys, and their weights by values. Past keys are left out.
    query, key, value = (_known(node, name, shapes) for name in node.input[:3])
    width = query[-1] * (query[1] if len(query) == 4 else 1)
    heads = next((a.i for a in node.attribute if a.name == "q_num_heads"), 1)
    scores = query[0] * query[-2] * key[-2]
    value_width = value[-1] * (query[1] if len(query) == 4 else 1)
    if len(query) == 3 and heads > 1:  # values may be shared among heads
        kv_heads = next((a.i for a in node.attribute if a.name == "kv_num_heads"), heads)
        value_width = value[-1] * heads // max(1, kv_heads)
    return 2 * scores * (width + value_width)


def _packed_attention(node: onnx.NodeProto, shapes: Shapes) -> int:
    # ONNX Runtime's own: [batch, rows, in] times [in, 3 x width], then as above.
    batch, rows, _ = _known(node, node.input[0], shapes)
    weights = _known(node, node.input[1], shapes)
    width = weights[1] // 3
    return 2 * batch * rows * (math.prod(weights) + 2 * rows * width)


def _einsum(node: onnx.NodeProto, shapes: Shapes) -> int:
    equation = next(helper.get_attribute_value(a) for a in node.attribute if a.name == "equation").decode()
    terms = equation.replace(" ", "").split("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, name in zip(terms, node.input, strict=True):
        shape = _known(node, name, shapes)
        if "..." in term or len(term) != len(shape):
            return _elements(node, shapes)
        sizes.update(zip(term, shape, strict=True))
    return (2 if len(terms) > 1 else 1) * math.prod(sizes.values())


COUNTERS: dict[str, Callable[[onnx.NodeProto, Shapes], int]] = {
    "Conv": _over_filter(1),
    "FusedConv": _over_filter(1),
    "ConvInteger": _over_filter(1),
    "DeformConv": _over_filter(1),
    "QLinearConv": _over_filter(3),
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "FusedGemm": _gemm,
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul"), _matmul),
    **dict.fromkeys(("RNN", "GRU", "LSTM"), _recurrent),
    "Attention": _attention,
    "Einsum": _einsum,
}
