"""A module as text, for `dump_dir` and for who compares two compiles."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt
    import tvm


def dump_text(module: tvm.IRModule) -> str:
    """Give TVM's script of the module, and the digest of its constants' types, shapes and bytes.

    The script shows of a constant no more than its shape.
    """
    state, count = hashlib.blake2b(digest_size=32), 0
    for array in _constants(module):
        state.update(f"{array.dtype} {array.shape} ".encode() + array.tobytes())
        count += 1
    return f"{module.script()}\n# {count} constants, BLAKE2b-256 {state.hexdigest()}\n"


def _constants(module: tvm.IRModule) -> Iterator[npt.NDArray[Any]]:
    """Every constant of the module's graph functions, by the functions' names, in the order of their use."""
    from tvm import ir, relax

    for _, function in sorted(module.functions_items(), key=lambda item: str(item[0].name_hint)):
        if not isinstance(function, relax.Function):
            continue
        nodes: list[Any] = []
        relax.analysis.post_order_visit(function, nodes.append)
        constants = [node.value for node in nodes if isinstance(node, ir.GenericConst)]
        yield from (value.numpy() for value in constants if hasattr(value, "numpy"))  # not types and texts
