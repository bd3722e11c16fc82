"""Comparing outputs."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from modeldyno.base.errors import ParityError
from modeldyno.compiler.check.compare import compare
from modeldyno.compiler.check.verify import check_parity
from modeldyno.runtime.sessions.base import AnySession
from tests.compiler.relaxed import source_of


def test_values_that_are_nan_in_both_are_counted_and_not_called_equal() -> None:
    wanted = np.array([1.0, 2.0, np.nan, np.inf], np.float32)
    found = compare("y", wanted, wanted.copy())
    assert (found.max_rel, found.not_finite) == (0.0, 0.5)
    off = compare("y", wanted, np.array([1.0, 2.5, np.nan, np.inf], np.float32))
    assert (off.max_abs, off.max_rel, off.not_finite) == (0.5, 0.25, 0.5)
    assert compare("y", wanted, np.array([1.0, 2.0, 3.0, np.inf], np.float32)).max_rel == float("inf")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (np.ones((1, 1, 4), np.float32), r"output 'y' is float32 \[1, 1, 4\], and float32 \[1, 4\] in none"),
        (np.ones((1, 4), np.float64), r"output 'y' is float64 \[1, 4\], and float32 \[1, 4\] in none"),
    ],
    ids=["an axis more", "another type"],
)
def test_an_output_of_another_shape_or_type_is_refused_whatever_its_values(found: Any, said: str) -> None:
    source = replace(source_of(None), reference=lambda _feeds: {"y": np.ones((1, 4), np.float32)})
    session = cast("AnySession", SimpleNamespace(run=lambda _feeds: {"y": found}))
    with pytest.raises(ParityError, match=said):
        check_parity(source, session, seed=0, tolerance=float("inf"), target="host")
