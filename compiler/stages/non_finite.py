"""Which kernels may differ from the source model where an input holds NaN or infinities, and why.

Each of them agrees on finite numbers, unless values on the way overflow. It either multiplies by a 0 that the
operator does not, and 0 times an infinity is no number, or stands for an operator whose own answer is not
defined there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modeldyno.runtime.records.kernels import KernelFacts, NonFinite

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto


@dataclass(frozen=True)
class _Known:
    """What may differ: operators of ONNX, those that a torch model is imported as, and words in kernel names.

    With `only_kernels` it holds of these kernels alone: the operator has others too. One that has no
    operators of ONNX differs from torch alone, and is called `name`. `concerns` tells the nodes of a model
    that may differ from those that don't.
    """

    onnx: tuple[str, ...]
    relax: tuple[str, ...]
    kernels: tuple[str, ...]
    why: str
    only_kernels: bool = False
    name: str = ""
    concerns: Callable[[NodeProto, frozenset[str]], bool] = lambda _node, _floats: True


def _is_open(clip: NodeProto, floats: frozenset[str]) -> bool:
    """Whether a Clip of floats has no bound on one side."""
    bounds = [name for name in clip.input[1:] if name]
    sides = {each.name for each in clip.attribute} & {"min", "max"}
    return clip.input[0] in floats and len(bounds) + len(sides) < 2


def _to_whole(cast: NodeProto, floats: frozenset[str]) -> bool:
    """Whether a Cast makes whole numbers of floats."""
    return cast.input[0] in floats and any(each.name == "to" and each.i in _WHOLE for each in cast.attribute)


def _float_names(model: ModelProto | None) -> frozenset[str]:
    """Names of the tensors of a model that hold floats."""
    graph = model.graph if model is not None else None
    values = (*graph.input, *graph.value_info, *graph.output) if graph is not None else ()
    return frozenset(value.name for value in values if value.type.tensor_type.elem_type in _FLOATS)


# ONNX's numbers of types: float, float16 and double; whole numbers of 8 to 64 bits.
_FLOATS, _WHOLE = (1, 10, 11), (2, 3, 4, 5, 6, 7, 12, 13)
_CONVS = ("relax.nn.conv1d", "relax.nn.conv2d", "relax.nn.conv3d")
_KNOWN = (
    _Known(
        ("Conv",),
        _CONVS,
        ("winograd",),
        "Winograd's transform mixes the numbers of a tile: one that is not finite spoils all of it",
        only_kernels=True,
    ),
    _Known(
        ("Conv",),
        _CONVS,
        ("grouped_conv",),
        "small groups are computed together with zeros between them, and 0 times what is not finite is NaN",
        only_kernels=True,
    ),
    _Known(
        ("ConvTranspose",),
        tuple(name + "_transpose" for name in _CONVS),
        ("interleave", "transpose"),
        "all phases of the stride are one convolution with zeros, and 0 times what is not finite is NaN",
    ),
    _Known(
        ("LRN",),
        ("relax.nn.avg_pool3d",),
        (),
        "the sum over channels is a product with zeros and ones, and 0 times what is not finite is NaN",
    ),
    _Known(
        ("Resize", "Upsample"),
        ("relax.image.resize2d", "relax.image.resize3d"),
        ("resize",),
        "a neighbour whose weight is 0 is multiplied or left out, and 0 times what is not finite is NaN",
    ),
    _Known(
        ("MaxPool", "GlobalMaxPool"),
        ("relax.nn.max_pool1d", "relax.nn.max_pool2d", "relax.nn.max_pool3d"),
        ("pool",),
        "NaN is passed over here; elsewhere it may stay, by where in the window it stands",
    ),
    _Known(
        ("ReduceMax", "ReduceMin", "Hardmax"),
        ("relax.max", "relax.min"),
        ("max", "min"),
        "NaN is passed over but at the first place; elsewhere it may stay, or hide numbers, by where the row "
        "lies in memory",
    ),
    _Known(
        ("ReduceProd",),
        ("relax.prod",),
        ("prod",),
        "a product of many numbers may overflow on its way, by the order in which they are multiplied",
    ),
    _Known(
        ("Clip",),
        (),
        ("clip",),
        "without a bound it cuts an infinity to the largest number, and sums of such numbers overflow by the "
        "order in which they are added",
        concerns=_is_open,
    ),
    _Known(
        ("Cast",),
        (),
        ("cast",),
        "no whole number stands for NaN or an infinity: sums and means of what takes their place wrap around",
        concerns=_to_whole,
    ),
    _Known(
        ("TopK",),
        (),
        ("topk",),
        "NaN counts as the largest number; in ONNX Runtime it has no place in an order",
    ),
    _Known(
        (),
        ("relax.median",),
        ("median",),
        "NaN counts as the largest number; in torch all is NaN then",
        name="Median",
    ),
    _Known(
        (),
        ("relax.argmax", "relax.argmin"),
        ("argmax", "argmin"),
        "NaN is passed over but at the first place, as in ONNX Runtime; torch finds the first NaN",
        name="ArgMax",
    ),
)


def operators_of(module: Any) -> frozenset[str]:
    """Names of the operators that `main` calls."""
    from tvm import relax

    from modeldyno.compiler.graph.rewrite import op_name

    found: set[str] = set()
    relax.analysis.post_order_visit(module["main"], lambda expr: found.add(op_name(expr)))
    return frozenset(found)


def non_finite(model: Any, imported: frozenset[str], kernels: Iterable[KernelFacts]) -> tuple[NonFinite, ...]:
    """Name what may differ of an ONNX model (or None) that was imported as these operators."""
    nodes = model.graph.node if model is not None else ()
    floats = _float_names(model)
    names = [each.name for each in kernels]
    found = []
    for known in _KNOWN:
        here = [name for name in names if any(word in name for word in known.kernels)]
        if known.only_kernels and not here:
            continue
        concerned = {
            node.op_type for node in nodes if node.op_type in known.onnx and known.concerns(node, floats)
        }
        operators = [name for name in known.onnx if name in concerned]
        if model is None and imported & set(known.relax):
            operators = [known.name or known.onnx[0]]
        found += [NonFinite(operator=each, kernels=tuple(here), why=known.why) for each in operators]
    return tuple(found)
