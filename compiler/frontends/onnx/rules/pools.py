"""Windows whose places the front end counts otherwise: MaxPool by auto_pad, LpPool past the end, RoiAlign.

A stride may be longer than its window. ONNX Runtime then cuts off what SAME_UPPER and SAME_LOWER would pad
by, where TVM pads nothing: the first window begins inside of the image.
"""

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
    totals = [max(0, total) for total in _totals(w)]
    begins = [total // 2 if auto == "SAME_UPPER" else total - total // 2 for total in totals]
    ends = [total - begin for total, begin in zip(totals, begins, strict=True)]
    return [w.op("MaxPool", w.input(0), **_settings(w), pads=[*begins, *ends])]


def passes_over(w: Writer) -> bool:
    """Whether a window by auto_pad begins behind the first element, since its stride is longer."""
    if not w.attribute("auto_pad", "NOTSET").startswith("SAME"):
        return False
    apart = any(gap > 1 for gap in w.attribute("dilations") or ())  # ONNX Runtime then reads beyond the end
    return not apart and any(begin < 0 for begin in _begins(w))


def cut_before(w: Writer) -> list[str] | None:
    """Cut off what is passed over, and write the padding of the other axes down."""
    if not passes_over(w):
        return None
    given, begins = w.input(0), _begins(w)
    ends = [max(0, total - begin) for total, begin in zip(_totals(w), begins, strict=True)]
    for axis, begin in enumerate(begins, 2):
        if begin < 0:
            given = w.slice(given, axis, -begin, w.shape(w.input(0))[axis])
    pads = [*(max(0, begin) for begin in begins), *ends]
    return [w.op(w.node.op_type, given, *w.node.input[1:], **_settings(w), pads=pads)]


def _totals(w: Writer) -> list[int]:
    """How much SAME pads each axis by, as ONNX Runtime counts it: without dilations."""
    sizes = w.shape(w.input(0))[2:]
    kernel = w.attribute("kernel_shape") or w.shape(w.input(1))[2:]
    strides = w.attribute("strides") or [1] * len(sizes)
    return [
        (-(-size // stride) - 1) * stride + span - size
        for size, span, stride in zip(sizes, kernel, strides, strict=True)
    ]


def _begins(w: Writer) -> list[int]:
    """How much of it comes before; below 0: how much is cut off, of which a convolution cuts one less."""
    lower = w.attribute("auto_pad") == "SAME_LOWER"
    conv = w.node.op_type == "Conv"
    return [int((total + lower + (conv and total < 0)) / 2) for total in _totals(w)]


def lp_pool(w: Writer) -> list[str] | None:
    """Pad with zeros, which add nothing to a norm, as far as the last window reaches."""
    if passes_over(w):
        return cut_before(w)
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
