"""When an output passes, differs, or is not decided: figures worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modeldyno.compiler.check.compare import compare
from modeldyno.compiler.check.judgement import Bounds, judge
from modeldyno.compiler.check.sensitivity import change, moved

STEP = 2.0**-23  # of float32 at 1


def verdict(wanted: Any, found: Any, *, moves: Any = (), jumps: Any = (), tolerance: float = 1e-4) -> str:
    wanted, found = np.asarray(wanted), np.asarray(found)
    given = {1: [np.asarray(each) for each in moves], 8: [np.asarray(each) for each in jumps]}
    feeds = {"x": np.ones(2, np.float32)}
    row = compare("y", wanted, found)
    largest = {
        units: max((change(wanted, each) for each in after), default=0.0) for units, after in given.items()
    }
    return judge(row, wanted, feeds, Bounds(tolerance), lambda units: largest[units]).verdict


def floats(*values: float) -> Any:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("found", "moves", "said"),
    [
        (1 + 0.9e-4, [], "same"),  # within the tolerance
        (1 + 1.5e-4, [], "differs"),
        (1 + 1.5e-4, [1 + 0.7e-5], "same"),  # 1e-4 + 8 x 0.7e-5 are allowed
        (1 + 1.7e-4, [1 + 0.7e-5], "differs"),
        (1 + 5e-4, [1 + 2e-4], "not decided"),  # delta is above the tolerance
        (1.5, [1 + 2e-4], "differs"),  # far more than 64 deltas
    ],
)
def test_a_float_may_differ_by_the_tolerance_and_eight_deltas(found: float, moves: Any, said: str) -> None:
    assert verdict(floats(1.0), floats(found), moves=[floats(each) for each in moves]) == said


def test_without_a_tolerance_eight_steps_of_the_format_are_left() -> None:
    assert verdict(floats(1.0), floats(1 + 8 * STEP), tolerance=0.0) == "same"
    assert verdict(floats(1.0), floats(1 + 10 * STEP), tolerance=0.0) == "differs"


def test_half_precision_is_held_to_its_own_step() -> None:
    one = np.array([1.0], np.float16)
    three = np.array([1 + 3 * 2.0**-10], np.float16)
    assert verdict(one, three) == "same"  # 3 steps are 29 times the tolerance
    assert verdict(one, three, moves=[np.array([1 + 2.0**-10], np.float16)]) == "same"
    assert verdict(one, np.array([1.2], np.float16)) == "differs"


def test_zeros_are_equal_to_what_rounding_leaves() -> None:
    assert verdict(floats(0, 0), floats(0, -STEP)) == "same"
    assert verdict(floats(0, 0), floats(0, 20 * STEP)) == "not decided"
    assert verdict(floats(0, 0), floats(0, 1e-3)) == "differs"


def test_what_sums_leave_over_is_not_decided_and_small_values_are() -> None:
    assert verdict(floats(0, STEP / 2), floats(STEP / 2, -STEP)) == "not decided"
    assert verdict(floats(0, STEP / 2), floats(0.5, 0)) == "differs"
    small = floats(3.1e-8, 1.7e-8)
    assert verdict(small, small * np.float32(1.001)) == "differs"


def test_an_index_that_a_tie_decides_is_not_decided() -> None:
    assert verdict(np.array([3, 5]), np.array([3, 9]), moves=[np.array([3, 6])]) == "not decided"
    assert verdict(
        np.array([3, 5]), np.array([3, 9]), moves=[np.array([3, 5])], jumps=[np.array([3, 7])]
    ) == ("not decided")
    assert verdict(np.array([3, 5]), np.array([3, 9]), moves=[np.array([3, 5])]) == "differs"


def test_whole_numbers_are_equal_however_large() -> None:
    assert verdict(np.array([90_000]), np.array([90_001])) == "differs"


def test_a_number_that_becomes_none_when_the_inputs_move_is_not_decided() -> None:
    assert verdict(floats(1.0), floats(2.0), moves=[floats(np.nan)]) == "not decided"
    assert verdict(floats(1.0), floats(np.nan), moves=[floats(1.0)]) == "differs"


def test_floats_move_by_one_unit_and_the_rest_stays() -> None:
    feeds = {"x": floats(1.0, -3.0, 0.0, np.inf), "i": np.array([1, 2]), "z": floats(0, 0)}
    found = moved(feeds, 0)
    assert set(abs(found["x"][:2] - feeds["x"][:2])) == {np.float32(STEP), np.float32(2 * STEP)}
    assert list(found["x"][2:]) == [0.0, np.inf]
    assert list(found["i"]) == [1, 2]
    assert set(abs(found["z"])) == {np.float32(STEP)}
