"""Comparing outputs."""

from __future__ import annotations

import numpy as np

from compiler.verify import compare


def test_values_that_are_nan_in_both_are_counted_and_not_called_equal() -> None:
    wanted = np.array([1.0, 2.0, np.nan, np.inf], np.float32)
    found = compare("y", wanted, wanted.copy())
    assert (found.max_rel, found.not_finite) == (0.0, 0.5)
    off = compare("y", wanted, np.array([1.0, 2.5, np.nan, np.inf], np.float32))
    assert (off.max_abs, off.max_rel, off.not_finite) == (0.5, 0.25, 0.5)
    assert compare("y", wanted, np.array([1.0, 2.0, 3.0, np.inf], np.float32)).max_rel == float("inf")
