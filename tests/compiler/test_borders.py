"""Padding without a copy: the taps and rows outside of the image are skipped, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from tvm import relax

from modeldyno.compiler.kernels.choice import choose_direct
from modeldyno.compiler.loops.borders import MOST_CASES
from modeldyno.compiler.targets.machine import Machine
from tests.compiler.relaxed import AVX2, AVX512, module, run_staged, staged_until
from tests.compiler.test_kernels import assert_close, conv_reference, normal

Case = dict[str, Any]


def convolution(case: Case) -> tuple[Any, Any, Any]:
    """Give the module, its input and the right answer."""
    data, weight = normal(*case["data"]), normal(*case["weight"], seed=1)
    attributes = {
        "strides": case.get("strides", (1, 1)),
        "padding": case["padding"],
        "dilation": case.get("dilation", (1, 1)),
        "groups": 1,
    }

    def body(builder: Any, x: Any) -> Any:
        return builder.emit(relax.op.nn.conv2d(x, relax.const(weight), **attributes))

    return module([data.shape], body), data, conv_reference(data, weight, **attributes)


def script(case: Case, machine: Machine = AVX512) -> str:
    return str(staged_until(convolution(case)[0], machine, "schedule", chooser=choose_direct).script())


def square(size: int, channels: int = 16, kernel: int = 3, **more: Any) -> Case:
    pad = kernel // 2
    return {
        "data": (1, channels, size, size),
        "weight": (channels, channels, kernel, kernel),
        "padding": (pad, pad, pad, pad),
        **more,
    }


CASES = {
    "one tile a line": square(7),
    "the tile is moved back": square(17),
    "several tiles": square(56, 32),
    "stride": square(30, strides=(2, 2)),
    "stride 3, five taps": square(31, kernel=5, strides=(3, 3)),
    "dilation": square(29, padding=(2, 2, 2, 2), dilation=(2, 2)),
    "seven taps, few channels": {
        "data": (1, 3, 40, 40),
        "weight": (32, 3, 7, 7),
        "padding": (3, 3, 3, 3),
        "strides": (2, 2),
    },
    "one side only": square(20, padding=(0, 2, 1, 0)),
    "more padding than filter": square(9, padding=(4, 4, 4, 4)),
    "a line of pixels": {"data": (1, 24, 1, 45), "weight": (8, 24, 1, 3), "padding": (0, 1, 0, 1)},
    "two images": square(14, data=(2, 16, 14, 14)),
    # One case only in the first tile, the other in the last: TVM's hoisting of branches lost the first.
    "each tile a case": {
        "data": (1, 1, 1, 13),
        "weight": (16, 1, 1, 2),
        "padding": (0, 2, 0, 0),
        "strides": (1, 2),
    },
    "odd channels": {"data": (1, 17, 13, 5), "weight": (3, 17, 3, 3), "padding": (1, 1, 1, 1)},
}


@pytest.mark.parametrize("machine", [AVX512, AVX2], ids=["16 lanes", "8 lanes"])
@pytest.mark.parametrize("name", CASES)
def test_padded_convolutions_equal_numpy(name: str, machine: Machine) -> None:
    mod, data, right = convolution(CASES[name])
    assert_close(run_staged(mod, machine, data, chooser=choose_direct)[0], right)


@pytest.mark.parametrize("name", sorted(set(CASES) - {"more padding than filter"}))
def test_no_padded_image_is_made(name: str) -> None:
    assert 'T.sblock("pad")' not in script(CASES[name])


def test_rows_inside_the_image_are_read_without_a_question() -> None:
    assert "if_then_else" not in script(square(17))


def test_rows_outside_of_the_image_cost_no_multiplication() -> None:
    # 14 of 14 rows, and 13 of them where the first or the last tap falls on the padding.
    text = script(square(14))
    rows = [line.strip() for line in text.splitlines() if "T.unroll(" in line and "ax2" in line]
    assert [line for line in rows if "T.unroll(T.int64(1), T.int64(14))" in line]
    assert [line for line in rows if "T.unroll(T.int64(13))" in line]


def test_a_filter_with_very_many_cases_keeps_the_padded_image() -> None:
    wide = {"data": (1, 16, 1, 40), "weight": (16, 16, 1, 21), "padding": (0, 10, 0, 10)}
    assert MOST_CASES < 2 * 10
    assert 'T.sblock("pad")' in script(wide)
    mod, data, right = convolution(wide)
    assert_close(run_staged(mod, AVX512, data, chooser=choose_direct)[0], right)
