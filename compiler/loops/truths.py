"""Truth values between the blocks of a kernel, held in bytes.

TVM's StorageRewrite makes a vector type of a buffer that is written in vectors, and of a buffer of bools one
of bytes, into which the bools that are stored do not fit any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modeldyno.compiler.loops.common import new_schedule, root_blocks

if TYPE_CHECKING:
    from tvm import s_tir, tirx


def truths_in_bytes(func: tirx.PrimFunc) -> tirx.PrimFunc:
    """Give a function whose own buffers of bools are of bytes; whoever writes or reads them converts."""
    sch = new_schedule(func)
    if not any(_is_truth(each) for each in _own_buffers(sch)):
        return func
    for block in root_blocks(sch):
        for place, region in enumerate(sch.get(block).writes):
            if _is_truth(region.source) and any(region.source.same_as(each) for each in _own_buffers(sch)):
                sch.unsafe_set_dtype(block, place, "int8")
    return sch.mod["main"]


def _own_buffers(sch: s_tir.Schedule) -> list[tirx.Buffer]:
    return list(sch.get(sch.get_sblock("root")).alloc_buffers)


def _is_truth(buffer: tirx.Buffer) -> bool:
    return str(buffer.dtype) == "bool"
