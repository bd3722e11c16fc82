"""Operators that the front end reads otherwise than ONNX means them: right, or refused by name."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto

from modeldyno.base.errors import CompileError
from modeldyno.compiler.models import compile_model
from tests.cases.many_operators import Case, differing, joined
from tests.compiler.models import constant, model, node, tensor

Array = npt.NDArray[Any]
RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.normal(0, 2, (1, 2, 7, 5)).astype(np.float32)
WAYS = (
    *("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize"),
    "half_pixel_symmetric",
)
REGION = np.array([0, 0, 0.1, 0.2, 1, 1, 0.8, 1.1], np.float32)
FIXED = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


def numbers(dtype: str, *shape: int) -> Array:
    if dtype == "bool":
        return RANDOM.integers(0, 2, shape).astype(bool)
    return RANDOM.integers(0 if dtype[0] == "u" else -6, 7, shape).astype(dtype)


def scales(*values: float) -> Array:
    return np.array(values, np.float32)


def resizes(mode: str, **attributes: Any) -> list[Case]:
    ends = [("s", scales(1, 1, 1.5, 1.5)), ("s", scales(1, 1, 2, 2)), ("s", scales(1, 1, 0.6, 0.5))]
    ends += [("z", np.array(size)) for size in ([1, 2, 1, 3], [1, 2, 9, 8], [1, 2, 7, 5])]
    ends += [("s", scales(1, 1, 0.15, 0.4))]
    return [
        Case(
            "Resize",
            ("x", REGION if way.startswith("tf") else "", *(("",) if kind == "z" else ()), value),
            {"mode": mode, "coordinate_transformation_mode": way, **attributes},
        )
        for way, (kind, value) in product(WAYS, ends)
        # Where a place lies just between two, the last bit decides, which is not ONNX Runtime's there.
        if mode != "nearest" or way != "half_pixel_symmetric"
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "attributes"),
    [
        ("nearest", {}),
        ("nearest", {"nearest_mode": "floor"}),
        ("nearest", {"nearest_mode": "ceil"}),
        ("nearest", {"nearest_mode": "round_prefer_ceil"}),
        ("linear", {}),
        ("linear", {"antialias": 1}),
        ("cubic", {}),
        ("cubic", {"antialias": 1}),
        ("cubic", {"exclude_outside": 1}),
    ],
    ids=str,
)
def test_resize_in_every_mode_up_down_and_to_one(
    mode: str, attributes: dict[str, Any], tmp_path: Path
) -> None:
    assert differing(resizes(mode, **attributes), {"x": IMAGE}, 19, tmp_path) == []


@pytest.mark.slow
def test_resize_of_axes_ratios_ranks_and_types(tmp_path: Path) -> None:
    feeds = {"x": IMAGE, "v": numbers("uint8", 1, 2, 4, 5), "w": numbers("int32", 1, 2, 4, 5)}
    feeds |= {"n": IMAGE[0, 0], "b": RANDOM.normal(0, 1, (2, 6, 5, 3)).astype(np.float32)}
    feeds["h"] = IMAGE.astype(np.float16)
    cases = [
        Case("Resize", ("x", "", scales(1.5, 0.7)), {"mode": mode, "axes": axes})
        for mode in ("nearest", "linear")
        for axes in ([2, 3], [3, 2], [-1, -2])
    ]
    cases += [
        Case(
            "Resize",
            ("x", "", "", np.array([9, 12])),
            {"mode": mode, "axes": [2, 3], "keep_aspect_ratio_policy": policy},
        )
        for mode in ("nearest", "linear")
        for policy in ("not_larger", "not_smaller")
    ]
    cases += [
        Case("Resize", (name, "", scales(1, 1, 1.5, 2)), {"mode": mode})
        for mode in ("nearest", "linear")
        for name in ("v", "w", "h")
    ]
    cases += [Case("Resize", ("n", "", scales(1.5, 2)), {"mode": mode}) for mode in ("nearest", "linear")]
    cases += [
        Case("Resize", ("b", "", scales(1, 1.5, 2, 1)), {"mode": mode}) for mode in ("nearest", "linear")
    ]
    assert differing(cases, feeds, 19, tmp_path) == []


@pytest.mark.parametrize("opset", [7, 9, 10])
def test_upsample_and_resize_of_old_opsets(opset: int, tmp_path: Path) -> None:
    ends = [scales(1, 1, 2, 2), scales(1, 1, 1.5, 1.3), scales(1, 1, 2.7, 1)]
    ends += [scales(1, 1, 0.6, 0.3)] if opset == 10 else []
    cases = [
        Case("Upsample", ("x",), {"mode": mode, "scales": end.tolist()})
        if opset == 7
        else Case("Upsample" if opset == 9 else "Resize", ("x", end), {"mode": mode})
        for mode, end in product(("nearest", "linear"), ends)
    ]
    assert differing(cases, {"x": IMAGE}, opset, tmp_path) == []


def test_comparisons_and_signs_of_every_type(tmp_path: Path) -> None:
    types = ["bool", *FIXED, "float32"]
    feeds = {f"{name}_{dtype}": numbers(dtype, 3, 4) for name in "ab" for dtype in types}
    cases = [Case("Equal", (f"a_{dtype}", f"b_{dtype}")) for dtype in types]
    cases += [
        Case(kind, (f"a_{dtype}", f"b_{dtype}"))
        for kind in ("Less", "GreaterOrEqual")
        for dtype in ("uint8", "uint64", "int8")
    ]
    cases += [Case("Sign", (f"a_{dtype}",)) for dtype in FIXED]
    assert differing(cases, feeds, 18, tmp_path) == []


def test_whole_numbers_to_a_power_are_cut_off(tmp_path: Path) -> None:
    feeds: dict[str, Array] = {"b": np.abs(numbers("int32", 3, 4)), "e": RANDOM.uniform(0, 3, (3, 4))}
    feeds["f"] = feeds["e"].astype(np.float32)
    cases = [Case("Pow", ("b", "e")), Case("Pow", ("b", "f")), Case("Pow", ("b", np.float32(2)))]
    assert differing(cases, feeds, 18, tmp_path) == []


def test_the_largest_of_short_integers(tmp_path: Path) -> None:
    """TVM has no sort for int16: the compiled model raised when it ran."""
    made = model(
        [node("TopK", "x k", "values places")],
        [tensor("x", [5, 4], TensorProto.INT16)],
        [tensor("values", [5, 2], TensorProto.INT16), tensor("places", [5, 2], TensorProto.INT64)],
        [constant("k", [2])],
    )
    onnx.save(made, tmp_path / "m.onnx")
    parity = compile_model(tmp_path / "m.onnx", tmp_path / "a").parity
    assert parity is not None
    assert [row.max_abs for row in parity.outputs] == [0.0, 0.0]


def test_reductions_of_whole_numbers_and_over_no_axis(tmp_path: Path) -> None:
    feeds = {"i": np.abs(numbers("int32", 2, 3, 4)) + 1, "l": numbers("int64", 2, 3, 4)}
    feeds |= {"f": np.abs(RANDOM.normal(0, 2, (2, 3, 4))).astype(np.float32)}
    feeds["g"] = -feeds["f"]
    none = np.array([], np.int64)
    cases = [
        Case("ReduceMean", (name, np.array(axes)), {"keepdims": 0})
        for name in "il"
        for axes in ([1], [0, -1])
    ]
    cases += [
        Case("ReduceMean", ("i",)),
        Case("ReduceLogSum", ("i", np.array([1]))),
        Case("ReduceMean", ("l",)),
    ]
    cases += [
        Case(f"Reduce{kind}", ("f" if kind == "LogSum" else "g", none), {"noop_with_empty_axes": 1})
        for kind in ("LogSum", "SumSquare", "L1", "L2", "LogSumExp", "Sum", "Mean", "Max")
    ]
    cases += [Case(f"Reduce{kind}", ("i", none), {"noop_with_empty_axes": 1}) for kind in ("SumSquare", "L1")]
    assert differing(cases, feeds, 18, tmp_path) == []


def test_a_mean_of_whole_numbers_is_used_further(tmp_path: Path) -> None:
    made = joined(
        [Case("ReduceMean", ("i", np.array([1]))), Case("Sub", ("i", "y0"))],
        {"i": numbers("int32", 2, 3)},
        18,
    )
    onnx.save(made, tmp_path / "m.onnx")
    parity = compile_model(tmp_path / "m.onnx", tmp_path / "a").parity
    assert parity is not None
    assert [row.max_abs for row in parity.outputs] == [0.0, 0.0]


def test_one_hot_in_every_form(tmp_path: Path) -> None:
    feeds = {"i": np.array([[0, -1, -5], [4, 7, -6]])}
    feeds["v"] = np.array([0.5, 2], np.float32)
    values = np.array([0.5, 2], np.float32)
    cases = [Case("OneHot", ("i", np.array(5), values), {"axis": axis}) for axis in (-1, 0, 1, 2, -2, -3)]
    cases += [
        Case("OneHot", ("i", depth, values))
        for depth in (np.array([5]), np.array(5, np.int32), np.array(5, np.float32))
    ]
    cases += [Case("OneHot", ("i", np.array(5), np.array([0, 1], dtype))) for dtype in ("float32", "int64")]
    cases += [Case("OneHot", ("i", np.array(5), "v"))]
    assert differing(cases, feeds, 11, tmp_path) == []


def pools() -> list[Case]:
    found = []
    for kind, auto, (kernel, stride), ceil in product(
        ("MaxPool", "AveragePool", "LpPool"),
        ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"),
        ((3, 2), (2, 2), (4, 3), (2, 3)),
        (0, 1),
    ):
        shape: dict[str, Any] = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "ceil_mode": ceil}
        for pads in ([0, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 1]) if auto == "NOTSET" else (None,):
            padding: dict[str, Any] = {"auto_pad": auto} if pads is None else {"pads": pads}
            if kind != "LpPool" and auto.startswith("SAME") and stride > kernel:
                continue  # ONNX Runtime refuses it
            found.append(Case(kind, ("x",), shape | padding))
            if kind == "AveragePool" and pads is not None:
                found.append(Case(kind, ("x",), shape | padding | {"count_include_pad": 1}))
    dilated = {"kernel_shape": [3, 3], "strides": [2, 2], "dilations": [2, 2]}
    found += [Case("MaxPool", ("x",), dilated | {"auto_pad": auto}) for auto in ("SAME_UPPER", "SAME_LOWER")]
    return [
        *found,
        Case("LpPool", ("x",), {"kernel_shape": [3, 2], "strides": [2, 3], "ceil_mode": 1, "p": 1}),
    ]


def test_pools_whose_padding_was_counted_otherwise(tmp_path: Path) -> None:
    feeds = {"x": RANDOM.normal(0, 2, (1, 2, 9, 7)).astype(np.float32)}
    window = {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"}
    norm = {"kernel_shape": [3, 2], "strides": [3, 3], "pads": [1, 0, 0, 1], "ceil_mode": 1}
    cases = [Case("MaxPool", ("x",), window), Case("LpPool", ("x",), norm)]
    assert differing(cases, feeds, 18, tmp_path) == []


def test_windows_that_a_longer_stride_cuts_off(tmp_path: Path) -> None:
    feeds = {"x": RANDOM.normal(0, 2, (1, 2, 9, 7)).astype(np.float32)}
    cases = []
    for auto, kernel, strides in product(
        ("SAME_UPPER", "SAME_LOWER"), ([1, 1], [2, 3]), ([3, 5], [5, 7], [9, 2])
    ):
        window = {"kernel_shape": kernel, "strides": strides, "auto_pad": auto}
        weights = RANDOM.normal(0, 1, (3, 2, *kernel)).astype(np.float32)
        cases += [Case("AveragePool", ("x",), window), Case("LpPool", ("x",), window)]
        cases += [Case("AveragePool", ("x",), window | {"count_include_pad": 1})]
        cases += [Case("Conv", ("x", weights), window)]
    assert differing(cases, feeds, 19, tmp_path) == []


@pytest.mark.slow
def test_pools_with_every_padding(tmp_path: Path) -> None:
    feeds = {"x": RANDOM.normal(0, 2, (1, 2, 9, 7)).astype(np.float32)}
    assert differing(pools(), feeds, 18, tmp_path) == []


@pytest.mark.slow
def test_convolutions_with_every_padding(tmp_path: Path) -> None:
    weights = RANDOM.normal(0, 1, (2, 2, 3, 3)).astype(np.float32)
    even = RANDOM.normal(0, 1, (2, 2, 2, 2)).astype(np.float32)
    cases = []
    for auto, stride, given in product(("SAME_UPPER", "SAME_LOWER", "VALID"), (1, 2, 3), (weights, even)):
        settings: dict[str, Any] = {"auto_pad": auto, "strides": [stride] * 2}
        cases += [Case("Conv", ("x", given), settings), Case("ConvTranspose", ("x", given), settings)]
        if auto != "VALID":
            wanted = [size * stride + (stride > 1) for size in (9, 7)]
            cases.append(Case("ConvTranspose", ("x", given), settings | {"output_shape": wanted}))
    feeds = {"x": RANDOM.normal(0, 2, (1, 2, 9, 7)).astype(np.float32)}
    assert differing(cases, feeds, 18, tmp_path) == []


def test_padding_with_the_other_end(tmp_path: Path) -> None:
    """Of several axes, of more than an axis holds, and behind what negative padding cuts off."""
    feeds = {"x": RANDOM.normal(0, 2, (3, 2, 33, 1)).astype(np.float32)}
    wrap = {"mode": "wrap"}
    pads = ([1, 1, 0, 0, 1, 1, 0, 0], [0, 5, 2, 0, 7, 0, 1, 3], [-1, 0, 3, 0, 2, -1, -4, 0])
    cases = [Case("Pad", ("x", np.array(each)), wrap) for each in pads]
    cases.append(Case("Pad", ("x", np.array([-1, 2, 2, 1]), "", np.array([-2, 0])), wrap))
    assert differing(cases, feeds, 19, tmp_path) == []


@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil"])
def test_nearest_places_just_before_a_half(rounding: str, tmp_path: Path) -> None:
    """The middle of 28 elements lies at the last float before 13.5: it is a half to ONNX Runtime."""
    feeds = {"x": RANDOM.normal(0, 2, (1, 1, 28, 84)).astype(np.float32)}
    settings = {"mode": "nearest", "nearest_mode": rounding, "coordinate_transformation_mode": "half_pixel"}
    sizes = [[1, 1, rows, columns] for rows, columns in ((1, 1), (1, 3), (2, 5), (14, 12), (4, 28))]
    cases = [Case("Resize", ("x", "", "", np.array(each)), settings) for each in sizes]
    assert differing(cases, feeds, 18, tmp_path) == []


def test_regions_are_scaled_before_they_are_moved_by_half_a_pixel(tmp_path: Path) -> None:
    feeds = {"x": RANDOM.normal(0, 2, (2, 4, 8, 8)).astype(np.float32)}
    feeds["r"] = np.array([[1, 1, 6, 7], [0, 0, 12, 12], [2.3, 1.1, 2.4, 5], [-3, -2, 5, 4]], np.float32)
    batch = np.array([0, 1, 1, 0])
    cases = [
        Case(
            "RoiAlign",
            ("x", "r", batch),
            {
                "output_height": 3,
                "output_width": 2,
                "sampling_ratio": samples,
                "spatial_scale": scale,
                "coordinate_transformation_mode": way,
            },
        )
        for samples, scale, way in product((0, 2), (1.0, 0.5), ("half_pixel", "output_half_pixel"))
    ]
    assert differing(cases, feeds, 16, tmp_path) == []


@pytest.mark.parametrize(
    ("case", "feeds", "said"),
    [
        (
            Case(
                "RoiAlign", ("x", "r", np.array([0])), {"mode": "max", "output_height": 2, "output_width": 2}
            ),
            {"x": IMAGE, "r": np.ones((1, 4), np.float32)},
            "RoiAlign .*: mode 'max' is not supported",
        ),
        (
            Case("ReduceLogSumExp", ("i",)),
            {"i": np.ones((2, 3), np.int32)},
            "ReduceLogSumExp .*: int32 is not supported; cast to float32 first",
        ),
        (
            Case("Resize", ("i", "", scales(2, 1.5, 1.5)), {"mode": "linear"}),
            {"i": np.ones((2, 3, 4), np.int32)},
            "Resize .*: linear interpolation of int32 is not supported; cast to float32 first",
        ),
        (
            Case("OneHot", ("i", "d", np.array([0, 1], np.float32))),
            {"i": np.ones(3, np.int64), "d": np.array(3)},
            "OneHot .*: its depth, which is a size of the output, is not constant",
        ),
    ],
    ids=["roi_max", "log_sum_exp", "trilinear", "one_hot_depth"],
)
def test_what_cant_be_made_right_is_refused_by_name(
    case: Case, feeds: dict[str, Array], said: str, tmp_path: Path
) -> None:
    onnx.save(joined([case], feeds, 18), tmp_path / "m.onnx")
    with pytest.raises(CompileError, match=said):
        compile_model(tmp_path / "m.onnx", tmp_path / "a")
