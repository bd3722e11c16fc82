"""Operators of random graphs over windows: convolutions, pools, resizes."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.fuzz.graph import FLOATS, Graph, Reject, sample


def conv(g: Graph) -> None:
    """Convolve, in groups too."""
    x = g.value(FLOATS, cond=lambda a: a.ndim in (3, 4, 5) and min(a.shape[2:]) >= 1)
    a = g.v[x]
    nd, c = a.ndim - 2, a.shape[1]
    groups = g.pick(*[d for d in (1, 1, c, 2, 3, 4) if c % d == 0])
    out = groups * g.pick(1, 2, 3, 5) if groups > 1 else g.pick(1, 3, 5, 8, 17)
    k = [g.pick(1, 2, 3, 3, 5) for _ in range(nd)]
    s = [g.pick(1, 1, 2, 3) for _ in range(nd)]
    d = [g.pick(1, 1, 2) for _ in range(nd)]
    attrs: dict[str, Any] = {"kernel_shape": k, "strides": s, "dilations": d, "group": groups}
    if g.r.random() < 0.25:
        attrs["auto_pad"] = g.pick("SAME_UPPER", "SAME_LOWER", "VALID")
        if attrs["auto_pad"] != "VALID":
            attrs["dilations"] = [1] * nd
    else:
        attrs["pads"] = [g.i(0, 3) for _ in range(2 * nd)]
    ins = [x, g.const(sample(g.r, (out, c // groups, *k), "float32") * np.float32(0.5))]
    if g.r.random() < 0.6:
        ins.append(g.const(sample(g.r, (out,), "float32")))
    g.add("Conv", ins, **attrs)


def conv_transpose(g: Graph) -> None:
    """Convolve transposed."""
    x = g.value(FLOATS, cond=lambda a: a.ndim in (3, 4) and a.size < 4000)
    a = g.v[x]
    nd, c = a.ndim - 2, a.shape[1]
    groups = g.pick(*[d for d in (1, 1, c, 2) if c % d == 0])
    k = [g.pick(1, 2, 3, 4) for _ in range(nd)]
    s = [g.pick(1, 2, 3) for _ in range(nd)]
    attrs: dict[str, Any] = {
        "kernel_shape": k,
        "strides": s,
        "group": groups,
        "dilations": [g.pick(1, 1, 2) for _ in range(nd)],
    }
    if g.r.random() < 0.7:
        attrs["pads"] = [g.i(0, 2) for _ in range(2 * nd)]
        if g.r.random() < 0.4:
            attrs["output_padding"] = [g.i(0, t) for t in s]
    ins = [x, g.const(sample(g.r, (c, g.pick(1, 2, 3), *k), "float32") * np.float32(0.5))]
    if g.r.random() < 0.5:
        ins.append(g.const(sample(g.r, (groups * g.v[ins[1]].shape[1],), "float32")))
    g.add("ConvTranspose", ins, **attrs)


def pool(g: Graph) -> None:
    """Pool, with padding or rounding up."""
    x = g.value(FLOATS, cond=lambda a: a.ndim in (3, 4, 5))
    a = g.v[x]
    nd = a.ndim - 2
    op = g.pick("MaxPool", "AveragePool", "LpPool")
    k = [g.pick(1, 2, 3, 3, 5) for _ in range(nd)]
    attrs: dict[str, Any] = {"kernel_shape": k, "strides": [g.pick(1, 2, 3) for _ in range(nd)]}
    if g.r.random() < 0.2:
        attrs["auto_pad"] = g.pick("SAME_UPPER", "SAME_LOWER")
    else:
        attrs["pads"] = [g.i(0, (k[j % nd] + 1) // 2) for j in range(2 * nd)]
        attrs["ceil_mode"] = g.i(0, 2)
    if op == "AveragePool":
        attrs["count_include_pad"] = g.i(0, 2)
        if g.opset >= 19 and g.r.random() < 0.3 and "auto_pad" not in attrs:
            attrs["dilations"] = [g.pick(1, 2) for _ in range(nd)]
    if op == "MaxPool" and g.r.random() < 0.4 and "auto_pad" not in attrs:
        attrs["dilations"] = [g.pick(1, 2) for _ in range(nd)]
    if op == "LpPool":
        attrs["p"] = g.pick(1, 2, 3)
    pads = attrs.get("pads", [9] * 2 * nd)
    reach = [(k[j] - 1) * attrs.get("dilations", [1] * nd)[j] + 1 for j in range(nd)]
    if any(reach[j] > a.shape[2 + j] + pads[j] + pads[j + nd] for j in range(nd)):
        raise Reject  # no window fits: ONNX Runtime gives one all the same, the standard none
    g.add(op, [x], **attrs)


def global_pool(g: Graph) -> None:
    """Pool the whole image."""
    x = g.value(FLOATS, cond=lambda a: a.ndim in (3, 4, 5))
    g.add(g.pick("GlobalAveragePool", "GlobalMaxPool"), [x])


def resize(g: Graph) -> None:
    """Resize in one of the common modes."""
    x = g.value(FLOATS, cond=lambda a: a.ndim in (3, 4) and a.size < 5000)
    a = g.v[x]
    mode = g.pick("nearest", "linear", "cubic") if a.ndim == 4 else g.pick("nearest", "linear")
    ct = g.pick("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
    attrs: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": ct}
    if mode == "nearest":
        attrs["nearest_mode"] = g.pick("round_prefer_floor", "floor", "ceil", "round_prefer_ceil")
    if mode == "cubic":
        attrs["cubic_coeff_a"] = float(g.pick(-0.75, -0.5))
    if mode != "nearest" and g.r.random() < 0.3 and min(a.shape[2:]) > 2:
        attrs["antialias"] = 1
    if g.r.random() < 0.5:
        sc = [1.0, 1.0] + [float(g.pick(0.5, 1.5, 2.0, 0.7, 1.0)) for _ in a.shape[2:]]
        g.add("Resize", [x, "", g.const(np.asarray(sc, np.float32))], jump=mode == "nearest", **attrs)
    else:
        sz = [*a.shape[:2], *(g.pick(1, 3, 7, 10) for _ in a.shape[2:])]
        g.add("Resize", [x, "", "", g.const(np.asarray(sz, np.int64))], **attrs)
