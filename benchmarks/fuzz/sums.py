"""Operators of random graphs that sum over axes: reductions, products, norms."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.fuzz.graph import FLOATS, Graph, Reject, sample

WHOLE = ("int32", "int64")


def reduce(g: Graph) -> None:
    """Reduce over some axes."""
    x = g.value((*FLOATS, *WHOLE), min_rank=1)
    a = g.v[x]
    ops = ["ReduceSum", "ReduceMax", "ReduceMin", "ReduceMean"]
    if a.dtype.kind == "f":
        ops += ["ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp", "ReduceProd"]
    ins = [x]
    if g.r.random() < 0.85:
        axes = [k for k in range(a.ndim) if g.r.random() < 0.5] or [a.ndim - 1]
        ins.append(g.const(np.asarray([k - a.ndim if g.r.random() < 0.4 else k for k in axes], np.int64)))
        g.add(g.pick(*ops), ins, keepdims=g.i(0, 2))
    else:
        g.add(g.pick(*ops), ins, keepdims=g.i(0, 2), noop_with_empty_axes=g.i(0, 2))


def arg(g: Graph) -> None:
    """Take the place of an extreme."""
    x = g.value((*FLOATS, *WHOLE), min_rank=1)
    g.add(
        g.pick("ArgMax", "ArgMin"),
        [x],
        axis=g.i(-g.v[x].ndim, g.v[x].ndim),
        keepdims=g.i(0, 2),
        select_last_index=g.i(0, 2),
        jump=True,
    )


def topk(g: Graph) -> None:
    """Sort out the largest or smallest."""
    x = g.value((*FLOATS, "int64"), min_rank=1)
    a = g.v[x]
    ax = g.i(0, a.ndim)
    g.add(
        "TopK",
        [x, g.const(np.asarray([g.i(1, a.shape[ax] + 1)], np.int64))],
        n_out=2,
        axis=ax,
        largest=g.i(0, 2),
        jump=True,
    )


def cumsum(g: Graph) -> None:
    """Add up along an axis."""
    x = g.value((*FLOATS, "int64", "int32"), min_rank=1)
    g.add(
        "CumSum",
        [x, g.const(np.asarray(g.i(-g.v[x].ndim, g.v[x].ndim), np.int64))],
        exclusive=g.i(0, 2),
        reverse=g.i(0, 2),
    )


def norm(g: Graph) -> None:
    """Normalize in one of six ways."""
    k = g.i(0, 6)
    if k == 0:
        x = g.value(FLOATS, cond=lambda a: a.ndim in (2, 3, 4, 5))
        c = g.v[x].shape[1]
        g.add(
            "BatchNormalization",
            [
                x,
                *(g.const(sample(g.r, (c,), "float32")) for _ in range(3)),
                g.const(np.abs(sample(g.r, (c,), "float32")) + np.float32(0.5)),
            ],
            epsilon=1e-3,
        )
    elif k == 1:
        x = g.value(FLOATS, cond=lambda a: a.ndim in (3, 4, 5) and np.prod(a.shape[2:]) > 2)
        c = g.v[x].shape[1]
        g.add(
            "InstanceNormalization",
            [x, *(g.const(sample(g.r, (c,), "float32")) for _ in range(2))],
            epsilon=1e-2,
        )
    elif k == 2:
        x = g.value(FLOATS, min_rank=1)
        a = g.v[x]
        ax = g.i(-a.ndim, a.ndim)
        s = a.shape[ax:]
        if np.prod(s) < 3:
            raise Reject
        ins = [x, g.const(sample(g.r, s, "float32"))]
        if g.r.random() < 0.6:
            ins.append(g.const(sample(g.r, s, "float32")))
        g.add("LayerNormalization", ins, axis=ax, epsilon=1e-2)
    elif k == 3:
        if g.opset < 21:
            raise Reject
        x = g.value(
            FLOATS, cond=lambda a: a.ndim in (3, 4) and a.shape[1] % 2 == 0 and np.prod(a.shape[2:]) > 2
        )
        c = g.v[x].shape[1]
        g.add(
            "GroupNormalization",
            [x, *(g.const(sample(g.r, (c,), "float32")) for _ in range(2))],
            num_groups=2,
            epsilon=1e-2,
        )
    elif k == 4:
        x = g.value(FLOATS, rank=4)
        g.add("LRN", [x], size=g.pick(1, 3, 5), alpha=0.01, beta=0.75, bias=1.0)
    else:
        x = g.value(FLOATS, min_rank=1, cond=lambda a: np.abs(a).min() > 0.01)
        g.add("LpNormalization", [x], axis=g.i(-1, g.v[x].ndim), p=g.i(1, 3))


def softmax(g: Graph) -> None:
    """Apply softmax or its like over any axis."""
    x = g.value(FLOATS, min_rank=1)
    op = g.pick("Softmax", "Softmax", "LogSoftmax", "Hardmax")
    g.add(op, [x], axis=g.i(-g.v[x].ndim, g.v[x].ndim), jump=op == "Hardmax")


def gemm(g: Graph) -> None:
    """Multiply matrices by Gemm."""
    x = g.value(FLOATS, rank=2)
    a = g.v[x]
    ta, tb = g.i(0, 2), g.i(0, 2)
    m, k = a.shape[::-1] if ta else a.shape
    n = g.pick(1, 3, 7, 17, 33)
    ins = [x, g.const(sample(g.r, (n, k) if tb else (k, n), "float32") * np.float32(0.5))]
    if g.r.random() < 0.7:
        ins.append(g.const(sample(g.r, g.pick((), (1,), (n,), (m, 1), (1, n), (m, n)), "float32")))
    g.add("Gemm", ins, transA=ta, transB=tb, alpha=float(g.pick(1.0, 0.5)), beta=float(g.pick(1.0, 2.0)))


def matmul(g: Graph) -> None:
    """Multiply by a vector, a matrix or a stack."""
    x = g.value(FLOATS, min_rank=1)
    a = g.v[x]
    k = a.shape[-1]
    c = g.i(0, 4)
    if c == 0:
        g.add("MatMul", [x, g.const(sample(g.r, (k,), "float32") * np.float32(0.5))])
    elif c == 1:
        y = g.value(FLOATS, cond=lambda b: b.ndim >= 1 and (b.shape[-2] if b.ndim > 1 else b.shape[0]) == k)
        g.add("MatMul", [x, y])
    else:
        b = tuple(s if g.r.random() < 0.5 else 1 for s in a.shape[:-2]) if c == 2 else ()
        g.add("MatMul", [x, g.const(sample(g.r, (*b, k, g.pick(1, 3, 8, 17)), "float32") * np.float32(0.5))])


def einsum(g: Graph) -> None:
    """Multiply by one of six equations."""
    x = g.value(FLOATS, cond=lambda a: a.ndim in (2, 3))
    a = g.v[x]
    if a.ndim == 2:
        eq, s = g.pick(("ij,jk->ki", (a.shape[1], 5)), ("ij,ij->i", a.shape), ("ij,k->kji", (3,)))
    else:
        eq, s = g.pick(
            ("bij,bjk->bik", (a.shape[0], a.shape[2], 3)),
            ("bij,kj->kbi", (4, a.shape[2])),
            ("...ij,jk->...ki", (a.shape[2], 2)),
        )
    g.add("Einsum", [x, g.const(sample(g.r, s, "float32") * np.float32(0.5))], equation=eq)


def qdq(g: Graph) -> None:
    """Quantize and dequantize, per tensor or per channel."""
    x = g.value(FLOATS, min_rank=1)
    a = g.v[x]
    dt = g.pick(np.uint8, np.int8)
    if g.r.random() < 0.5 and a.ndim > 1:
        ax: int | None = 1
        s: Any = (np.abs(sample(g.r, (a.shape[1],), "float32")) + np.float32(0.05)).astype("float32")
        z: Any = g.r.integers(0, 10, a.shape[1]).astype(dt)
    else:
        ax, s, z = None, np.float32(0.1), np.asarray(3, dt)
    sc, zp = g.const(s), g.const(z)
    (q,) = g.add("QuantizeLinear", [x, sc, zp], axis=ax, jump=True)
    if g.r.random() < 0.3:
        (q,) = g.add("Transpose", [q], perm=list(range(a.ndim))) if a.ndim > 1 else (q,)
    g.add("DequantizeLinear", [q, sc, zp], axis=ax)
