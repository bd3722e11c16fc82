"""How exact an artifact must be, and what is given up first when it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from modeldyno.compiler import compile_model
from modeldyno.compiler.check import judgement
from modeldyno.compiler.options import Options
from tests.compiler.models import mlp, model, node, saved, tensor, weights


@pytest.fixture
def big_image(tmp_path: Path) -> Path:
    """A 3x3 convolution that is faster by Winograd."""
    made = model(
        [node("Conv", "x w", "y", pads=[1, 1, 1, 1], kernel_shape=[3, 3])],
        [tensor("x", [1, 64, 28, 28])],
        [tensor("y", [1, 64, 28, 28])],
        [weights("w", 64, 64, 3, 3)],
    )
    return saved(tmp_path / "net.onnx", made)


def test_winograd_is_held_to_a_looser_bound_and_the_manifest_says_so(big_image: Path, tmp_path: Path) -> None:
    manifest = compile_model(big_image, tmp_path / "out")
    assert {kernel.kind for kernel in manifest.kernels} >= {"winograd"}
    assert manifest.parity is not None
    assert manifest.parity.tolerance_max_rel == 1e-3


def test_without_winograd_the_bound_is_tight(big_image: Path, tmp_path: Path) -> None:
    manifest = compile_model(big_image, tmp_path / "direct", options=Options(winograd=False))
    assert {kernel.kind for kernel in manifest.kernels} >= {"conv2d"}
    assert "winograd" not in {kernel.kind for kernel in manifest.kernels}
    assert manifest.options["winograd"] == "False"
    assert manifest.parity is not None
    assert manifest.parity.tolerance_max_rel == 1e-4
    other = compile_model(saved(tmp_path / "mlp.onnx", mlp()), tmp_path / "mlp")
    assert other.parity is not None
    assert other.parity.tolerance_max_rel == 1e-4


def test_where_winograd_is_too_far_off_the_direct_way_is_taken(
    big_image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Both are within a few roundings: the tolerance alone is to decide.
    monkeypatch.setattr(judgement, "STEPS", 0)
    exact = compile_model(big_image, tmp_path / "direct", options=Options(winograd=False))
    loose = compile_model(big_image, tmp_path / "winograd")
    assert exact.parity is not None
    assert loose.parity is not None
    errors = [max(part.max_rel for part in parity.outputs) for parity in (exact.parity, loose.parity)]
    assert errors[0] < errors[1]
    lines: list[str] = []
    between = Options(tolerance=sum(errors) / 2)
    manifest = compile_model(big_image, tmp_path / "out", options=between, on_tuning=lines.append)
    assert "winograd" not in {kernel.kind for kernel in manifest.kernels}
    assert any("Winograd convolutions" in line and "Compiled again" in line for line in lines)
