"""Rows taken by indices: the guards have seen to it that these are in range, so nothing is asked here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvm import te, topi

if TYPE_CHECKING:
    from tvm import relax


def plain_take(builder: relax.BlockBuilder, call: relax.Call) -> relax.Call:
    """Give the kernel of `relax.take`; other modes than the plain one keep TVM's."""
    mode = str(call.attrs.mode)
    if mode != "fast":
        return builder.call_te(topi.take, *call.args, call.attrs.axis, mode=mode)
    axis = call.attrs.axis

    def take(data: te.Tensor, indices: te.Tensor) -> te.Tensor:
        if axis is None:
            return te.compute(indices.shape, lambda *at: topi.reshape(data, (-1,))(indices(*at)), name="take")
        ahead, inner = int(axis) % len(data.shape), len(indices.shape)
        shape = [*data.shape[:ahead], *indices.shape, *data.shape[ahead + 1 :]]
        return te.compute(
            shape,
            lambda *at: data(*at[:ahead], indices(*at[ahead : ahead + inner]), *at[ahead + inner :]),
            name="take",
        )

    return builder.call_te(take, *call.args, primfunc_name_hint="take")
