"""Our own definitions of torch's operators by simpler ones: what torch's table lacks, or ends elsewhere.

Each gives NotImplemented for the arguments with which the front end reads the operator well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch._ops import OpOverload

Definition = Callable[..., Any]
# torch computes these of whole numbers in float32; the front end hands whole numbers on, and refuses.
_FLOAT_FUNCTIONS = (
    *(
        "acos",
        "acosh",
        "asin",
        "asinh",
        "atan",
        "atanh",
        "cos",
        "cosh",
        "erf",
        "exp",
        "expm1",
        "log",
        "log10",
    ),
    *("log1p", "log2", "reciprocal", "rsqrt", "sigmoid", "sin", "sinh", "sqrt", "tan", "tanh"),
)


def own_definitions() -> dict[OpOverload, Definition]:
    """Give the definitions by operator (`torch.ops.aten.cat.default`)."""
    import torch

    aten = torch.ops.aten
    return {
        **{getattr(aten, name).default: _of_whole_numbers(name) for name in _FLOAT_FUNCTIONS},
        aten.__lshift__.Scalar: lambda x, places: x * 2**places,
        aten.__rshift__.Scalar: lambda x, places: aten.div(x, 2**places, rounding_mode="floor"),
        aten._cdist_forward.default: _distances,
        aten.cat.default: _cat,
        aten.cumsum.default: _cumsum,
        aten.div.Scalar: _true_division,
        aten.div.Tensor: _true_division,
        aten.exp2.default: lambda x: aten.pow(2.0, x),
        aten.hypot.default: lambda a, b: aten.sqrt(a * a + b * b),
        aten.index.Tensor: _index,
        aten.min.dim: _min_dim,
        aten.native_group_norm.default: _group_norm,
        aten.searchsorted.Tensor: _searchsorted,
        aten.signbit.default: lambda x: x < 0,
        aten.unfold.default: _unfold,
    }


def _of_whole_numbers(name: str) -> Definition:
    import torch

    operator = getattr(torch.ops.aten, name).default

    def definition(x: torch.Tensor) -> Any:
        if x.is_floating_point() or x.is_complex():
            return NotImplemented
        return operator(x.to(torch.get_default_dtype()))

    return definition


def _cat(tensors: Sequence[torch.Tensor], dim: int = 0) -> Any:
    """Leave out empty tensors of one dimension, which torch joins with anything, and join one type only."""
    import torch

    kept = [tensor for tensor in tensors if tuple(tensor.shape) != (0,)]
    dtypes = {tensor.dtype for tensor in tensors}
    if not kept or (len(kept) == len(tensors) and len(dtypes) == 1):
        return NotImplemented
    dtype = tensors[0].dtype
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    same = [tensor if tensor.dtype == dtype else tensor.to(dtype) for tensor in kept]
    return torch.ops.aten.cat.default(same, dim) if len(same) > 1 else same[0].clone()


def _cumsum(x: torch.Tensor, dim: int, *, dtype: torch.dtype | None = None) -> Any:
    """Sum whole numbers and truth values as int64: the front end keeps their type."""
    import torch

    wanted = dtype or (x.dtype if x.is_floating_point() else torch.int64)
    return NotImplemented if wanted == x.dtype else torch.ops.aten.cumsum.default(x.to(wanted), dim)


def _true_division(a: torch.Tensor, b: torch.Tensor | float) -> Any:
    """Divide whole numbers as floats: the front end rounds."""
    import torch

    if any((isinstance(x, torch.Tensor) and x.is_floating_point()) or isinstance(x, float) for x in (a, b)):
        return NotImplemented
    return torch.ops.aten.div.Tensor(a.to(torch.get_default_dtype()), b)


def _distances(a: torch.Tensor, b: torch.Tensor, p: float, _how: int | None) -> Any:
    import torch

    between = (a.unsqueeze(-2) - b.unsqueeze(-3)).abs()
    if p in (0.0, float("inf")):
        return NotImplemented
    if p == 1:
        return between.sum(-1)
    return torch.sqrt((between * between).sum(-1)) if p == 2 else between.pow(p).sum(-1).pow(1 / p)


def _index(x: torch.Tensor, indices: Sequence[torch.Tensor | None]) -> Any:
    """Bring the indexed dimensions to the front: the front end misplaces `:` before and between indices."""
    import torch

    aten = torch.ops.aten
    places = [place for place, index in enumerate(indices) if index is not None]
    chosen = [index for index in indices if index is not None]
    if places == list(range(len(places))) or any(index.dtype == torch.bool for index in chosen):
        return NotImplemented
    rest = [place for place in range(x.dim()) if place not in places]
    found = aten.index.Tensor(aten.permute(x, [*places, *rest]), chosen)
    if places[-1] - places[0] >= len(places):  # apart from one another: the result has them first
        return found
    gained = found.dim() - len(rest)
    return aten.permute(
        found, [*range(gained, gained + places[0]), *range(gained), *range(gained + places[0], found.dim())]
    )


def _min_dim(x: torch.Tensor, dim: int, keepdim: bool = False) -> Any:
    values, places = (-x).max(dim, keepdim)
    return -values, places


def _group_norm(x: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None, *sizes: int) -> Any:
    """Give the scale and shift that the front end asks for."""
    import torch

    if weight is not None and bias is not None:
        return NotImplemented
    channels = sizes[1]
    weight = weight if weight is not None else x.new_ones(channels)
    bias = bias if bias is not None else x.new_zeros(channels)
    return torch.ops.aten.native_group_norm.default(x, weight, bias, *sizes)


def _searchsorted(
    edges: torch.Tensor,
    x: torch.Tensor,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: torch.Tensor | None = None,
) -> Any:
    import torch

    if edges.dim() != 1 or sorter is not None:
        return NotImplemented
    right = right or side == "right"
    return torch.ops.aten.bucketize.Tensor(x, edges, out_int32=out_int32, right=right)


def _unfold(x: torch.Tensor, dim: int, size: int, step: int) -> Any:
    """Windows of one dimension, as a dimension behind all others."""
    import torch

    dim = dim % x.dim()
    starts = torch.arange(0, x.shape[dim] - size + 1, step)
    places = (starts[:, None] + torch.arange(size)[None, :]).reshape(-1)
    found = torch.ops.aten.index_select(x, dim, places)
    return found.unflatten(dim, (len(starts), size)).movedim(dim + 1, -1)
