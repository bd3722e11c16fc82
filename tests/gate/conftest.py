"""Compiled models for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from modeldyno.compiler import compile_model
from modeldyno.compiler.options import Options
from tests.compiler.models import det_net, saved
from tests.recommender.tiny import write_model


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder: tiny.onnx, and other.onnx of other weights."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "tiny.onnx")
    write_model(folder / "other.onnx", seed=1)
    return folder


@pytest.fixture(scope="session")
def artifact(models: Path) -> Path:
    """tiny.onnx, compiled."""
    compile_model(models / "tiny.onnx", models / "artifact")
    return models / "artifact"


@pytest.fixture(scope="session")
def again(models: Path, artifact: Path) -> Path:
    """tiny.onnx, compiled once more, later."""
    compile_model(models / "tiny.onnx", models / "again")
    return models / "again"


@pytest.fixture(scope="session")
def ranged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact of two shapes, whose buckets share one weights file."""
    folder = tmp_path_factory.mktemp("ranged")
    write_model(folder / "open.onnx", open_size=True)
    compile_model(folder / "open.onnx", folder / "out", shapes={"x": ("1|2", 8)})
    return folder / "out"


@pytest.fixture(scope="session")
def segmented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact in three segments, of which ONNX Runtime runs the second."""
    folder = tmp_path_factory.mktemp("segmented")
    compile_model(
        saved(folder / "det.onnx", det_net()), folder / "out", options=Options(fallback="onnxruntime")
    )
    return folder / "out"
