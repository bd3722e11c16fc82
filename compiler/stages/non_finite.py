"""Which kernels may differ from the source model where an input holds NaN or infinities, and why.

Each of them agrees on finite numbers, unless values on the way overflow. It either multiplies by a 0 that the
operator does not, and 0 times an infinity is no number, or stands for an operator whose own answer is not
defined there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from modeldyno.runtime.records.kernels import KernelFacts, NonFinite


@dataclass(frozen=True)
class _Known:
    """What may differ: operators of ONNX, those that a torch model is imported as, and words in kernel names.

    With `only_kernels` it holds of these kernels alone: the operator has others too. One that has no
    operators of ONNX differs from torch alone, and is called `name`.
    """

    onnx: tuple[str, ...]
    relax: tuple[str, ...]
    kernels: tuple[str, ...]
    why: str
    only_kernels: bool = False
    name: str = ""


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
    source = frozenset(node.op_type for node in model.graph.node) if model is not None else None
    names = [each.name for each in kernels]
    found = []
    for known in _KNOWN:
        here = [name for name in names if any(word in name for word in known.kernels)]
        if known.only_kernels and not here:
            continue
        operators = [name for name in known.onnx if source is not None and name in source]
        if source is None and imported & set(known.relax):
            operators = [known.name or known.onnx[0]]
        found += [NonFinite(operator=each, kernels=tuple(here), why=known.why) for each in operators]
    return tuple(found)
