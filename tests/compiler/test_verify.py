"""Comparing outputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from onnx.numpy_helper import from_array

from modeldyno.base.errors import ParityError
from modeldyno.compiler.check.compare import compare
from modeldyno.compiler.check.verify import check_parity
from modeldyno.compiler.frontends.dispatch import read_model
from modeldyno.runtime.sessions.base import AnySession
from tests.compiler.models import model, node, saved, tensor
from tests.compiler.relaxed import Array, source_of


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


def test_what_overflows_inside_of_the_model_is_not_decided(tmp_path: Path) -> None:
    """The answer is finite all the same: an infinity that is clipped."""
    made = model(
        [node("Exp", "x", "a"), node("Clip", "a low high", "y"), node("Relu", "x", "z")],
        [tensor("x", [2, 3])],
        [tensor("y", [2, 3]), tensor("z", [2, 3])],
        [from_array(np.float32(0), "low"), from_array(np.float32(1), "high")],
    )
    source = read_model(saved(tmp_path / "m.onnx", made), {})

    def run(name: str, feeds: dict[str, Array]) -> dict[str, Array]:
        found = source.reference(feeds)
        far = abs(feeds["x"]).max() > 1000
        return {**found, name: found[name] + np.float32(1000 * far)}

    def session(name: str) -> AnySession:
        return cast("AnySession", SimpleNamespace(run=lambda feeds: run(name, feeds)))

    settings: dict[str, Any] = {"seed": 0, "tolerance": 1e-4, "target": "host"}
    report = check_parity(source, session("y"), **settings)
    assert {sample.kind: sample.undecided for sample in report.samples}["large"] == ("y",)
    with pytest.raises(ParityError, match=r"'large'.* It comes from Relu \(node"):
        check_parity(source, session("z"), **settings)
