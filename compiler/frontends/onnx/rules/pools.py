"""Pools whose padding the front end counts otherwise: MaxPool by auto_pad, LpPool past the end, RoiAlign."""

from __future__ import annotations

from typing import Any

from modeldyno.compiler.frontends.onnx.rules.graph import Refused, Writer


def max_pool_misread(w: Writer) -> bool:
    """Whether MaxPool gives more than the front end reads, or leaves its padding to be found."""
    return w.wants(1) or w.attribute("auto_pad", "NOTSET").startswith("SAME")


def max_pool(w: Writer) -> list[str] | None:
    """Write the padding of SAME_UPPER and SAME_LOWER down, as ONNX Runtime counts it: without dilations.

    Raises:
        Refused: the places of the largest values are asked for.
    """
    if w.wants(1):
        raise Refused("its second output, the places of the largest values, is not supported")
    auto = w.attribute("auto_pad", "NOTSET")
    if not auto.startswith("SAME"):
        return None
    sizes, kernel = w.shape(w.input(0))[2:], w.attribute("kernel_shape")
    strides = w.attribute("strides") or [1] * len(sizes)
    begins, ends = [], []
    for size, span, stride in zip(sizes, kernel, strides, strict=True):
        total = max(0, (-(-size // stride) - 1) * stride + span - size)
        begins.append(total // 2 if auto == "SAME_UPPER" else total - total // 2)
        ends.append(total - begins[-1])
    return [w.op("MaxPool", w.input(0), **_settings(w), pads=[*begins, *ends])]


def lp_pool(w: Writer) -> list[str] | None:
    """Pad with zeros, which add nothing to a norm, as far as the last window reaches."""
    if not w.attribute("ceil_mode", 0) or w.attribute("auto_pad", "NOTSET").startswith("SAME"):
        return None
    sizes, kernel = w.shape(w.input(0))[2:], w.attribute("kernel_shape")
    strides, dilations = (w.attribute(name) or [1] * len(sizes) for name in ("strides", "dilations"))
    pads = list(w.attribute("pads") or [0] * 2 * len(sizes))
    for axis, size in enumerate(sizes):
        room = size + pads[axis] + pads[len(sizes) + axis] - (kernel[axis] - 1) * dilations[axis] - 1
        steps = -(-room // strides[axis])
        if (
            steps * strides[axis] >= size + pads[axis]
        ):  # a window must begin inside, or in what is padded before
            steps -= 1
        pads[len(sizes) + axis] += max(0, steps * strides[axis] - room)
    padded = w.pad(w.input(0), [0, 0, *pads[: len(sizes)], 0, 0, *pads[len(sizes) :]])
    return [w.op("LpPool", padded, **_settings(w))]


def _settings(w: Writer) -> dict[str, Any]:
    """Give the node's attributes but those that say how far it reads."""
    return {k: v for k, v in w.attributes.items() if k not in ("auto_pad", "ceil_mode", "pads")}


def roi_align_misread(w: Writer) -> bool:
    """Whether the front end moves the regions by another half pixel, or takes another maximum."""
    moved = w.attribute("coordinate_transformation_mode", "half_pixel") == "half_pixel" and w.opset >= 16
    return w.attribute("mode", "avg") == "max" or (moved and w.attribute("spatial_scale", 1.0) != 1.0)


def roi_align(w: Writer) -> list[str] | None:
    """Move the regions beforehand: half a pixel of the scaled image, where the front end takes one unscaled.

    Raises:
        Refused: mode max, which ONNX Runtime takes over parts of interpolations.
    """
    if w.attribute("mode", "avg") == "max":
        raise Refused("mode 'max' is not supported")
    if not roi_align_misread(w):
        return None
    regions, scale = w.input(1), float(w.attribute("spatial_scale", 1.0))
    moved = w.op("Sub", regions, w.const(0.5 / scale - 0.5, w.dtype(regions)))
    return [w.op("RoiAlign", w.input(0), moved, w.input(2), **w.attributes)]
