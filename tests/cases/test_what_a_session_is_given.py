"""`run` with what is no dict of numpy arrays: an error that says what is wanted, never one of numpy's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from modeldyno.base.errors import ArtifactError, RequestError
from modeldyno.compiler.models import compile_model
from modeldyno.compiler.options import Options
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.manifest import MANIFEST_NAME
from modeldyno.runtime.records.manifest_file import read_manifest
from modeldyno.runtime.sessions.base import AnySession
from tests.compiler.models import mlp, model, node, tensor, weights

X = np.arange(16, dtype=np.float32).reshape(2, 8)


@pytest.fixture(scope="module", params=["whole", "range", "segments"])
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AnySession:
    folder = tmp_path_factory.mktemp(request.param)
    onnx.save(mlp("n"), folder / "m.onnx")
    shapes: dict[str, Any] = {"x": ("1..4", 8) if request.param == "range" else (2, 8)}
    options = Options()
    if request.param == "segments":
        nodes = [node("MatMul", "x w", "h"), node("QuickGelu", "h", "y", domain="com.microsoft")]
        made = model(
            nodes,
            [tensor("x", [2, 8])],
            [tensor("y", [2, 3])],
            [weights("w", 8, 3)],
            domains=["com.microsoft"],
        )
        onnx.save(made, folder / "m.onnx")
        options = Options(fallback="onnxruntime")
    compile_model(folder / "m.onnx", folder / "a", shapes=shapes, options=options)
    return open_session(folder / "a", threads=1)


def torch_tensor() -> Any:
    return pytest.importorskip("torch").zeros(2, 8)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([X], "run takes a dict of numpy arrays by input name, not a list; the inputs are: x"),
        (None, "run takes a dict of numpy arrays by input name, not None; the inputs are: x"),
        (X, "run takes a dict of numpy arrays by input name, not a numpy.ndarray"),
        (
            {"x": X.tolist()},
            "input 'x' is a list, expected a numpy array of float32 [2, 8]: np.asarray(value",
        ),
        ({"x": None}, "input 'x' is None, expected a numpy array of float32 [2, 8]"),
        ({"x": "text"}, "input 'x' is a str, expected a numpy array"),
        ({"x": torch_tensor}, "input 'x' is a torch.Tensor, expected a numpy array of float32"),
        ({"x": X.astype(object)}, "input 'x' has dtype object, expected float32"),
        ({"x": X.astype(np.float64)}, "input 'x' has dtype float64, expected float32"),
        ({"x": X, 3: X}, "unknown input '3'; the inputs are: x"),
        ({3: X}, "input 'x' is missing; the inputs are: x"),
        ({"x": X[:, :7]}, "input 'x' has shape [2, 7], expected"),
    ],
    ids=[
        "list",
        "none",
        "array",
        "rows",
        "none_in",
        "text",
        "torch",
        "object",
        "float64",
        "more",
        "less",
        "shape",
    ],
)
def test_what_is_wanted_is_said(session: AnySession, given: Any, said: str) -> None:
    if isinstance(given, dict):
        given = {name: value() if callable(value) else value for name, value in given.items()}
    if "range" in str(session.inputs[0].shape) or None in session.inputs[0].shape:
        said = said.replace("[2, 8]", "[?, 8]")
    with pytest.raises(RequestError, match=re.escape(said)):
        session.run(given)


def test_arrays_of_other_layouts_and_byte_orders_are_the_same_numbers(session: AnySession) -> None:
    (wanted,) = session.run({"x": X}).values()
    wide = np.zeros((2, 16), np.float32)
    wide[:, ::2] = X
    for same in (X.astype(">f4"), np.asfortranarray(X), wide[:, ::2], X[::-1][::-1]):
        (found,) = session.run({"x": same}).values()
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("digest", ["kept", "emptied", "left out"])
def test_a_manifest_set_back_to_an_older_schema_is_checked_all_the_same(digest: str, tmp_path: Path) -> None:
    onnx.save(mlp(), tmp_path / "m.onnx")
    compile_model(tmp_path / "m.onnx", tmp_path / "a", options=Options(verify=False))
    assert read_manifest(tmp_path / "a").manifest_digest
    path = tmp_path / "a" / MANIFEST_NAME
    document = json.loads(path.read_text())
    document["schema_version"] = 2
    document["outputs"][0]["name"] = "another"
    if digest != "kept":
        document["manifest_digest"] = ""
    if digest == "left out":
        del document["manifest_digest"]
    path.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match="is damaged or was edited: its digest"):
        open_session(tmp_path / "a")
