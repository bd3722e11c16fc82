"""Operators of random graphs that move elements: shapes, slices, gathers."""

from __future__ import annotations

import numpy as np

from benchmarks.fuzz.graph import FLOATS, Graph, Reject, sample

WHOLE = ("int32", "int64")


def reshape(g: Graph) -> None:
    """Reshape by constants, -1 and 0 among them."""
    x = g.value()
    a = g.v[x]
    flat, dims = a.size, []
    for _ in range(g.i(0, 4)):
        ds = [d for d in range(1, flat + 1) if flat % d == 0][:8]
        d = g.pick(*ds)
        dims.append(d)
        flat //= d
    dims.append(flat)
    g.r.shuffle(dims)
    if g.r.random() < 0.5:
        dims[g.i(0, len(dims))] = -1
    if a.ndim and dims and a.shape[0] == dims[0] and g.r.random() < 0.5:
        dims[0] = 0
    g.add("Reshape", [x, g.const(np.asarray(dims, np.int64))])


def flatten(g: Graph) -> None:
    """Flatten at any axis."""
    x = g.value(min_rank=1)
    g.add("Flatten", [x], axis=g.i(-g.v[x].ndim, g.v[x].ndim + 1))


def transpose(g: Graph) -> None:
    """Permute the axes."""
    x = g.value(min_rank=2)
    n = g.v[x].ndim
    g.add("Transpose", [x], perm=[int(p) for p in g.r.permutation(n)] if g.r.random() < 0.85 else None)


def squeeze(g: Graph) -> None:
    """Drop axes of size 1."""
    x = g.value(cond=lambda a: 1 in a.shape)
    a = g.v[x]
    ones = [k for k, s in enumerate(a.shape) if s == 1]
    if g.r.random() < 0.25:
        g.add("Squeeze", [x])
    else:
        k = g.pick(*ones)
        g.add("Squeeze", [x, g.const(np.asarray([k if g.r.random() < 0.5 else k - a.ndim], np.int64))])


def unsqueeze(g: Graph) -> None:
    """Add axes of size 1."""
    x = g.value(cond=lambda a: a.ndim < 5)
    n = g.v[x].ndim
    axes = [g.i(-n - 1, n + 1)]
    if n < 4 and g.r.random() < 0.3:
        axes = [0, n + 1]
    g.add("Unsqueeze", [x, g.const(np.asarray(axes, np.int64))])


def expand(g: Graph) -> None:
    """Broadcast to a shape."""
    x = g.value()
    s = [d if d > 1 else g.pick(1, 2, 3, 5) for d in g.v[x].shape]
    if g.r.random() < 0.3:
        s = [2, *s]
    if s and g.r.random() < 0.4:
        s[g.i(0, len(s))] = 1  # Expand broadcasts both ways
    g.add("Expand", [x, g.const(np.asarray(s, np.int64))])


def tile(g: Graph) -> None:
    """Repeat along axes."""
    x = g.value(min_rank=1)
    g.add("Tile", [x, g.const(np.asarray([g.pick(1, 1, 2, 3) for _ in g.v[x].shape], np.int64))])


def concat(g: Graph) -> None:
    """Join with values and constants."""
    x = g.value(min_rank=1)
    a = g.v[x]
    ax = g.i(0, a.ndim)
    ins = [x]
    for _ in range(g.i(1, 4)):
        k = g.i(0, 3)
        if k == 0:
            ins.append(x)
        elif k == 1:
            s = list(a.shape)
            s[ax] = g.pick(1, 3)
            ins.append(g.const(sample(g.r, tuple(s), a.dtype.name)))
        else:
            ins.append(
                g.value(
                    (a.dtype.name,),
                    rank=a.ndim,
                    cond=lambda b: b.shape[:ax] + b.shape[ax + 1 :] == a.shape[:ax] + a.shape[ax + 1 :],
                )
            )
    g.add("Concat", ins, axis=ax if g.r.random() < 0.5 else ax - a.ndim)


def split(g: Graph) -> None:
    """Split evenly or at a place."""
    x = g.value(cond=lambda a: a.ndim and max(a.shape) > 1)
    a = g.v[x]
    ax = g.pick(*[k for k, s in enumerate(a.shape) if s > 1])
    n = a.shape[ax]
    if g.r.random() < 0.5:
        parts = min(n, g.i(2, 4))
        chunk = -(-n // parts)
        if chunk * (parts - 1) >= n:
            raise Reject
        g.add("Split", [x], n_out=parts, axis=ax, num_outputs=parts)
    else:
        cut = g.i(1, n)
        g.add("Split", [x, g.const(np.asarray([cut, n - cut], np.int64))], n_out=2, axis=ax - a.ndim)


def slice_(g: Graph) -> None:
    """Cut out with steps, backwards too."""
    x = g.value(min_rank=1)
    a = g.v[x]
    axes = [k for k in range(a.ndim) if g.r.random() < 0.6] or [0]
    st, en, sp = [], [], []
    for k in axes:
        n = a.shape[k]
        step = g.pick(1, 1, 2, 3, -1, -2)
        if step > 0:
            s, e = g.i(0, n), g.pick(n, 2**31 - 1, np.iinfo(np.int64).max, -1 if n > 3 else n)
            s = s // 2
        else:
            s, e = g.pick(-1, n - 1, n + 5), g.pick(-n - 1, np.iinfo(np.int64).min, 0 if n > 2 else -n - 1)
        st.append(s)
        en.append(int(e))
        sp.append(step)
    ax = [k - a.ndim if g.r.random() < 0.4 else k for k in axes]
    g.add("Slice", [x, *(g.const(np.asarray(q, np.int64)) for q in (st, en, ax, sp))])


def pad(g: Graph) -> None:
    """Pad, or cut off by negative padding."""
    x = g.value((*FLOATS, *WHOLE), min_rank=1)
    a = g.v[x]
    mode = g.pick("constant", "constant", "reflect", "edge", "wrap" if g.opset >= 19 else "edge")
    hi = {"constant": 4, "edge": 3}.get(mode, 3)
    lo = -1 if mode == "constant" else 0
    p = [0] * (2 * a.ndim)
    for k in range(a.ndim):
        if g.r.random() < 0.6:
            m = min(hi, a.shape[k]) if mode in ("reflect", "wrap") else hi
            p[k], p[k + a.ndim] = g.i(lo, m) if m > lo else 0, g.i(lo, m) if m > lo else 0
    ins = [x, g.const(np.asarray(p, np.int64))]
    if mode == "constant" and g.r.random() < 0.6:
        ins.append(g.const(np.asarray(2, a.dtype)))
    g.add("Pad", ins, mode=mode)


def depth_space(g: Graph) -> None:
    """Move pixels into channels, or back."""
    if g.r.random() < 0.5:
        x = g.value(FLOATS, rank=4, cond=lambda a: a.shape[1] % 4 == 0)
        g.add("DepthToSpace", [x], blocksize=2, mode=g.pick("DCR", "CRD"))
    else:
        x = g.value(FLOATS, rank=4, cond=lambda a: a.shape[2] % 2 == 0 and a.shape[3] % 2 == 0)
        g.add("SpaceToDepth", [x], blocksize=2)


def gather(g: Graph) -> None:
    """Gather by constant indices, negative ones too."""
    x = g.value(min_rank=1)
    a = g.v[x]
    ax = g.i(0, a.ndim)
    n = a.shape[ax]
    k = g.i(0, 3)
    if k == 0:
        places: tuple[int, ...] = g.pick((), (1,), (3,), (2, 2))
        g.add(
            "Gather",
            [x, g.const(np.asarray(g.r.integers(-n, n, places)).astype(g.pick(np.int64, np.int32)))],
            axis=ax,
        )
    elif k == 1:
        s = list(a.shape)
        s[ax] = g.pick(1, 2, s[ax])
        g.add("GatherElements", [x, g.const(g.r.integers(-n, n, s).astype(np.int64))], axis=ax)
    else:
        d = g.i(1, a.ndim + 1)
        idx = np.stack([g.r.integers(-s, s, (3,)) for s in a.shape[:d]], -1).astype(np.int64)
        g.add("GatherND", [x, g.const(idx)])


def scatter(g: Graph) -> None:
    """Scatter constants, with a reduction or without."""
    x = g.value((*FLOATS, "int64"), min_rank=1)
    a = g.v[x]
    if g.r.random() < 0.5:
        ax = g.i(0, a.ndim)
        n = a.shape[ax]
        red = g.pick("none", "add", "mul", "max", "min")
        s = list(a.shape)
        s[ax] = 1 if red == "none" else min(n, 2)
        idx = g.r.integers(-n, n, s).astype(np.int64)
        g.add(
            "ScatterElements",
            [x, g.const(idx), g.const(sample(g.r, tuple(s), a.dtype.name))],
            axis=ax,
            reduction=red,
        )
    else:
        rows = g.r.permutation(a.shape[0])[: g.i(1, a.shape[0] + 1)].astype(np.int64)[:, None]
        g.add(
            "ScatterND",
            [x, g.const(rows), g.const(sample(g.r, (len(rows), *a.shape[1:]), a.dtype.name))],
            reduction=g.pick("none", "add", "max"),
        )


def trilu(g: Graph) -> None:
    """Keep a triangle."""
    x = g.value((*FLOATS, "int64"), min_rank=2)
    g.add("Trilu", [x, g.const(np.asarray(g.i(-2, 3), np.int64))], upper=g.i(0, 2))


def one_hot(g: Graph) -> None:
    """Turn indices into rows."""
    x = g.value(("int64", "int32"), cond=lambda a: a.ndim <= 3)
    g.add(
        "OneHot",
        [x, g.const(np.asarray([7], np.int64)), g.const(np.asarray([0.0, 1.5], np.float32))],
        axis=g.pick(-1, 0, 1 if g.v[x].ndim else -1),
    )


def shape_math(g: Graph) -> None:
    """Compute a shape as exporters write a flatten: Shape, Slice, Concat, Reshape."""
    x = g.value(min_rank=2)
    (s,) = g.add("Shape", [x])
    (b,) = g.add("Slice", [s, g.const(np.asarray([0], np.int64)), g.const(np.asarray([1], np.int64))])
    (t,) = g.add("Concat", [b, g.const(np.asarray([-1], np.int64))], axis=0)
    g.add("Reshape", [x, t])
