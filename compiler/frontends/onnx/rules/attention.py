"""Attention and rotary embedding as matrix products and element-wise operators."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from modeldyno.compiler.frontends.onnx.rules.graph import Writer
from modeldyno.compiler.model.arrays import Array


def attention(w: Writer) -> list[str] | None:
    """Give Y, present key, present value and the product, in whichever mode the node asks for."""
    query, key, value = (_heads(w, place) for place in range(3))
    (batch, q_heads, q_len, size), (_, kv_heads, kv_len, _), (*_, v_size) = (
        x[1] for x in (query, key, value)
    )
    past = 0
    keys, values = key[0], value[0]
    if w.input(4):
        past = w.shape(w.input(4))[2]
        keys = w.op("Concat", w.input(4), keys, axis=2)
        values = w.op("Concat", w.input(5), values, axis=2)
    present = [keys, values]
    total = past + kv_len
    if q_heads != kv_heads:
        keys = _repeated(w, keys, (batch, kv_heads, total, size), q_heads // kv_heads)
        values = _repeated(w, values, (batch, kv_heads, total, v_size), q_heads // kv_heads)
    dtype = w.dtype(w.input(0))
    root = math.sqrt(w.attribute("scale") or 1 / math.sqrt(size))
    factor = w.const(root, dtype)
    scaled = w.op("Mul", w.transpose(keys, (0, 1, 3, 2)), factor)
    scores = w.op("MatMul", w.op("Mul", query[0], factor), scaled)
    capped = _capped(w, scores, dtype)
    mask = _mask(w, (q_len, kv_len, past), dtype)
    biased = w.op("Add", capped, mask) if mask else capped
    chances = _softmax(w, biased, dtype, guarded=bool(mask))
    seen = [scores, capped, biased, chances]  # by the number of the output mode
    out = w.op("MatMul", chances, values)
    if len(w.shape(w.input(0))) == 3:
        out = w.reshape(w.transpose(out, (0, 2, 1, 3)), (batch, q_len, q_heads * v_size))
    return [out, *present, seen[int(w.attribute("qk_matmul_output_mode", 0))]]


def _heads(w: Writer, place: int) -> tuple[str, tuple[int, int, int, int]]:
    """Give an input as (batch, heads, length, size), and these numbers."""
    name = w.input(place)
    shape = w.shape(name)
    if len(shape) == 4:
        return name, shape
    heads = int(w.attribute("q_num_heads" if place == 0 else "kv_num_heads"))
    batch, length, hidden = shape
    split = w.reshape(name, (batch, length, heads, hidden // heads))
    return w.transpose(split, (0, 2, 1, 3)), (batch, heads, length, hidden // heads)


def _repeated(w: Writer, name: str, shape: tuple[int, int, int, int], times: int) -> str:
    """Give each head `times` times, one beside the other."""
    batch, heads, length, size = shape
    wide = w.op(
        "Expand",
        w.reshape(name, (batch, heads, 1, length, size)),
        w.const([batch, heads, times, length, size]),
    )
    return w.reshape(wide, (batch, heads * times, length, size))


def _mask(w: Writer, lengths: tuple[int, int, int], dtype: np.dtype[Any]) -> str:
    """Give what is added to the scores; empty where nothing is."""
    q_len, kv_len, past = lengths
    total = past + kv_len
    parts = []
    if w.input(3):
        parts.append(_given_mask(w, total, dtype))
    left, right = int(w.attribute("left_window_size", -1)), int(w.attribute("right_window_size", -1))
    if w.attribute("is_causal", 0):
        right = 0 if right < 0 else min(right, 0)
    if left >= 0 or right >= 0:
        parts.append(_window(w, (q_len, total, past), (left, right), dtype))
    if w.input(6):
        lengths_of = w.reshape(w.input(6), (-1, 1, 1, 1))
        inside = w.op("Less", w.const(np.arange(total).reshape(1, 1, 1, total)), lengths_of)
        parts.append(_where(w, inside, dtype))
    mask = ""
    for part in parts:
        mask = w.op("Add", mask, part) if mask else part
    return mask


def _given_mask(w: Writer, total: int, dtype: np.dtype[Any]) -> str:
    name = w.input(3)
    shape = w.shape(name)
    if w.dtype(name) == np.bool_:
        name = _where(w, name, dtype)
    if shape[-1] < total:
        edge = np.full((*shape[:-1], total - shape[-1]), -np.inf)
        name = w.op("Concat", name, w.const(edge, dtype), axis=len(shape) - 1)
    return name


def _window(w: Writer, sizes: tuple[int, int, int], window: tuple[int, int], dtype: np.dtype[Any]) -> str:
    """Mask by distance: how far back (`left`) and ahead (`right`) a query looks; -1 has no bound."""
    q_len, total, past = sizes
    ahead: Array = np.arange(total)[None, :] - np.arange(q_len)[:, None]
    if w.input(6) and not w.input(4):  # the lengths say where each row's queries begin
        begin = w.op("Sub", w.reshape(w.input(6), (-1, 1, 1, 1)), w.const(q_len))
        distance = w.op("Sub", w.const(ahead[None, None]), begin)
        allowed = ""
        for bound, kind in ((window[1], "LessOrEqual"), (-window[0], "GreaterOrEqual")):
            if (window[1] if kind == "LessOrEqual" else window[0]) < 0:
                continue
            test = w.op(kind, distance, w.const(bound))
            allowed = w.op("And", allowed, test) if allowed else test
        return _where(w, allowed, dtype)
    ahead = ahead - past
    allowed_now = np.ones_like(ahead, dtype=bool)
    if window[1] >= 0:
        allowed_now &= ahead <= window[1]
    if window[0] >= 0:
        allowed_now &= ahead >= -window[0]
    return w.const(np.where(allowed_now, 0.0, -np.inf), dtype)


def _where(w: Writer, allowed: str, dtype: np.dtype[Any]) -> str:
    return w.op("Where", allowed, w.const(0, dtype), w.const(-np.inf, dtype))


def _capped(w: Writer, scores: str, dtype: np.dtype[Any]) -> str:
    cap = float(w.attribute("softcap", 0.0))
    if not cap:
        return scores
    limit = w.const(cap, dtype)
    return w.op("Mul", w.op("Tanh", w.op("Div", scores, limit)), limit)


def _softmax(w: Writer, scores: str, dtype: np.dtype[Any], *, guarded: bool) -> str:
    """Softmax over keys; a row in which nothing may be looked at is all zeros, not NaN."""
    if not guarded:
        return w.op("Softmax", scores, axis=-1)
    lowest = w.const(np.finfo(np.dtype(dtype)).min, dtype)
    finite = w.op("Max", scores, lowest)
    nothing = w.op("LessOrEqual", w.reduce("ReduceMax", scores, [-1]), lowest)
    return w.op("Where", nothing, w.const(0, dtype), w.op("Softmax", finite, axis=-1))


def rotary(w: Writer) -> list[str] | None:
    """Rotate pairs of the last axis by the angles of the caches."""
    name = w.input(0)
    shape = w.shape(name)
    if len(shape) == 3:
        batch, length, hidden = shape
        heads = int(w.attribute("num_heads"))
        data = w.reshape(name, (batch, length, heads, hidden // heads))
    else:
        batch, heads, length, _ = shape
        data = w.transpose(name, (0, 2, 1, 3))
    size = shape[-1] // (heads if len(shape) == 3 else 1)
    rotated = int(w.attribute("rotary_embedding_dim", 0)) or size
    caches = [w.input(1), w.input(2)]
    if w.input(3):
        caches = [w.op("Gather", cache, w.input(3)) for cache in caches]
    half = rotated // 2
    cos, sin = (w.reshape(cache, (batch, length, 1, half)) for cache in caches)
    first, second = _halves(w, data, (batch, length, heads, half))
    real = w.op("Sub", w.op("Mul", cos, first), w.op("Mul", sin, second))
    imaginary = w.op("Add", w.op("Mul", sin, first), w.op("Mul", cos, second))
    turned = _joined(w, real, imaginary, (batch, length, heads, half))
    if rotated < size:
        turned = w.op("Concat", turned, w.slice(data, 3, rotated, size), axis=3)
    if len(shape) == 3:
        return [w.reshape(turned, shape)]
    return [w.transpose(turned, (0, 2, 1, 3))]


def _halves(w: Writer, data: str, shape: tuple[int, int, int, int]) -> tuple[str, str]:
    half = shape[3]
    if not w.attribute("interleaved", 0):
        return w.slice(data, 3, 0, half), w.slice(data, 3, half, 2 * half)
    pairs = w.reshape(w.slice(data, 3, 0, 2 * half), (*shape, 2))
    first, second = (w.reshape(w.slice(pairs, 4, at, at + 1), shape) for at in (0, 1))
    return first, second


def _joined(w: Writer, first: str, second: str, shape: tuple[int, int, int, int]) -> str:
    if not w.attribute("interleaved", 0):
        return w.op("Concat", first, second, axis=3)
    columns = [w.reshape(part, (*shape, 1)) for part in (first, second)]
    return w.reshape(w.op("Concat", *columns, axis=4), (*shape[:3], 2 * shape[3]))
