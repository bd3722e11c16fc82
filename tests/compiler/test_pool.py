"""Pooling over NHWC data against a plain loop in float64: odd sizes, paddings, steps and gaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tvm import relax, tirx

from modeldyno.compiler.targets.machine import Machine
from tests.compiler.relaxed import AVX2, AVX512, Array, module, run_staged, staged_until

R = relax.op


@dataclass(frozen=True)
class Walk:
    """A square window: its size, step and gap, the padding (top, left, bottom, right), and what is taken."""

    size: int
    stride: int
    gap: int
    pads: tuple[int, int, int, int]
    kind: str


def pooled(data: Array, walk: Walk) -> Array:
    """Pool one NHWC tensor by walking over its windows."""
    size, stride, gap, kind = walk.size, walk.stride, walk.gap, walk.kind
    top, left, bottom, right = walk.pads
    _, height, width, _ = data.shape
    reach = gap * (size - 1) + 1
    out_h, out_w = (height + top + bottom - reach) // stride + 1, (width + left + right - reach) // stride + 1
    result = np.zeros((data.shape[0], out_h, out_w, data.shape[3]))
    for h in range(out_h):
        for w in range(out_w):
            rows = [h * stride - top + tap * gap for tap in range(size)]
            columns = [w * stride - left + tap * gap for tap in range(size)]
            window = [
                data[:, r, c].astype(np.float64)
                for r in rows
                for c in columns
                if 0 <= r < height and 0 <= c < width
            ]
            count = size * size if kind == "padded" else max(1, len(window))
            result[:, h, w] = np.max(window, 0) if kind == "max" else np.sum(window, 0) / count
    return result


def pool(kind: str, **window: Any) -> Any:
    if kind == "max":
        return lambda builder, x: builder.emit(R.nn.max_pool2d(x, **window, layout="NHWC"))
    counted = kind == "padded"
    return lambda builder, x: builder.emit(
        R.nn.avg_pool2d(x, **window, layout="NHWC", count_include_pad=counted)
    )


@settings(max_examples=40, deadline=None)
@given(
    spatial=st.tuples(st.sampled_from((1, 5, 7, 13)), st.sampled_from((1, 5, 7, 13))),
    channels=st.sampled_from((1, 3, 17, 32, 58, 192)),
    walk=st.builds(
        Walk,
        size=st.sampled_from((1, 2, 3, 5)),
        stride=st.sampled_from((1, 2, 3)),
        gap=st.sampled_from((1, 2)),
        pads=st.tuples(*[st.integers(0, 1)] * 4),
        kind=st.sampled_from(("max", "padded", "inside")),
    ),
    machine=st.sampled_from((AVX512, AVX2)),
)
def test_pooling_is_right(spatial: tuple[int, int], channels: int, walk: Walk, machine: Machine) -> None:
    reach, pads = walk.gap * (walk.size - 1) + 1, walk.pads
    assume(spatial[0] + pads[0] + pads[2] >= reach and spatial[1] + pads[1] + pads[3] >= reach)
    # A window wholly outside of the image has no maximum and no mean.
    assume(max(pads) < walk.size and (walk.gap == 1 or min(spatial) >= walk.gap))
    data = np.random.default_rng(channels).standard_normal((1, *spatial, channels)).astype(np.float32)
    window = {"pool_size": (walk.size,) * 2, "strides": (walk.stride,) * 2, "dilation": (walk.gap,) * 2}
    body = pool(walk.kind, **window, padding=pads)
    found = run_staged(module([data.shape], body), machine, data)[0]
    np.testing.assert_allclose(found, pooled(data, walk), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("size", "out"), [((7, 7), (1, 1)), ((12, 8), (3, 4)), ((7, 5), (3, 2))])
def test_adaptive_average_is_right_for_even_windows_and_others(
    size: tuple[int, int], out: tuple[int, int]
) -> None:
    data = np.random.default_rng(0).standard_normal((2, *size, 24)).astype(np.float32)
    body = lambda builder, x: builder.emit(R.nn.adaptive_avg_pool2d(x, out, layout="NHWC"))  # noqa: E731
    found = run_staged(module([data.shape], body), AVX512, data)[0]
    for h in range(out[0]):
        for w in range(out[1]):
            rows = slice(h * size[0] // out[0], -(-(h + 1) * size[0] // out[0]))
            columns = slice(w * size[1] // out[1], -(-(w + 1) * size[1] // out[1]))
            expected = data[:, rows, columns].astype(np.float64).mean((1, 2))
            np.testing.assert_allclose(found[:, h, w], expected, rtol=1e-5, atol=1e-6)


def test_minus_infinity_and_huge_numbers_at_the_border_come_through() -> None:
    data = np.full((1, 5, 5, 16), -np.inf, np.float32)
    data[0, 0, 0] = 3e38
    body = pool("max", pool_size=(3, 3), strides=(1, 1), padding=(1, 1, 1, 1))
    found = run_staged(module([data.shape], body), AVX512, data)[0]
    assert (found[0, :2, :2] == np.float32(3e38)).all()


def test_pooling_reads_the_image_where_it_is_and_takes_the_tail_in() -> None:
    def body(builder: Any, x: Any) -> Any:
        out = builder.emit(R.nn.max_pool2d(x, (3, 3), strides=(2, 2), padding=(1, 1, 1, 1), layout="NHWC"))
        return builder.emit(R.nn.relu(builder.emit(R.add(out, relax.const(np.float32(0.5))))))

    data = np.random.default_rng(1).standard_normal((1, 13, 13, 64)).astype(np.float32)
    mod = staged_until(module([data.shape], body), AVX512, "schedule")
    (func,) = (func for _, func in mod.functions_items() if isinstance(func, tirx.PrimFunc))
    text = func.script()
    assert "pad_temp" not in text
    assert "T.vectorized(" in text
    expected = np.maximum(pooled(data, Walk(3, 2, 1, (1, 1, 1, 1), "max")) + 0.5, 0)
    np.testing.assert_allclose(run_staged(module([data.shape], body), AVX512, data)[0], expected, rtol=1e-6)
