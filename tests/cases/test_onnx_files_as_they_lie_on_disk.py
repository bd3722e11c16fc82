"""ONNX files with their weights beside them: large ones, links, and what is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from modeldyno.base.digests import digest_files
from modeldyno.base.errors import ModelError
from modeldyno.compiler.frontends.dispatch import open_family, read_model
from modeldyno.compiler.frontends.onnx import weights as onnx_weights
from modeldyno.compiler.models import compile_model
from modeldyno.compiler.options import Options
from tests.compiler.models import constant, conv_net, mlp, model, node, tensor


def with_data_beside(made: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    onnx.save(made, path, save_as_external_data=True, location="model.onnx_data", size_threshold=0)
    return path


def as_in_the_hub_cache(path: Path) -> Path:
    """Move the files to blobs of other names, and leave links in a folder of the snapshot."""
    blobs, snapshot = path.parent / "blobs", path.parent / "snapshots" / "main" / "onnx"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for number, file in enumerate((path, path.with_name("model.onnx_data"))):
        file.rename(blobs / f"{number:064d}")
        (snapshot / file.name).symlink_to(Path("../../../blobs") / f"{number:064d}")
    return snapshot / path.name


def test_links_in_the_cache_of_a_hub(tmp_path: Path) -> None:
    before = with_data_beside(conv_net(), tmp_path)
    digest = digest_files([before, before.with_name("model.onnx_data")])
    path = as_in_the_hub_cache(before)
    manifest = compile_model(path, tmp_path / "a")
    assert manifest.parity is not None
    assert manifest.source_digest == digest
    feeds = {"image": np.zeros((1, 3, 12, 12), np.float32)}
    assert open_family(path).reference(feeds)["logits"].shape == (1, 5)


def test_weights_that_one_message_does_not_hold_stay_in_their_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_data_beside(mlp(), tmp_path)
    whole = read_model(path, {})
    monkeypatch.setattr(onnx_weights, "PROTOBUF_LIMIT_BYTES", 512)
    loaded = onnx_weights.load(path)
    assert {name: array.shape for name, array in loaded.mapped.items()} == {
        "w1": (8, 24),
        "b1": (24,),
        "w2": (24, 3),
    }
    assert read_model(path, {}).digest == whole.digest
    manifest = compile_model(path, tmp_path / "a")
    assert manifest.parity is not None
    assert manifest.parity.outputs[0].max_rel < 1e-4
    feeds = {"x": np.ones((2, 8), np.float32)}
    np.testing.assert_allclose(read_model(path, {}).reference(feeds)["y"], whole.reference(feeds)["y"])


@pytest.mark.slow
def test_a_model_of_more_than_2_gib(tmp_path: Path) -> None:
    size = 16384
    made = model(
        [node("MatMul", "x w0", "a"), node("MatMul", "a w1", "b"), node("MatMul", "b w2", "y")],
        [tensor("x", [1, size])],
        [tensor("y", [1, 10])],
    )
    at = 0
    with (tmp_path / "m.data").open("wb") as stream:
        for name, columns in (("w0", size), ("w1", size), ("w2", 10)):
            given = made.graph.initializer.add(name=name, data_type=TensorProto.FLOAT, dims=[size, columns])
            given.data_location = TensorProto.EXTERNAL
            for key, value in (("location", "m.data"), ("offset", at), ("length", 4 * size * columns)):
                given.external_data.add(key=key, value=str(value))
            for _ in range(16):
                stream.write(np.full((size // 16, columns), 1e-3, np.float32).tobytes())
            at += 4 * size * columns
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    # Sums of 16,384 equal numbers: rounding errors of one sign add up in both, to 1.7e-4 of the result.
    manifest = compile_model(tmp_path / "m.onnx", tmp_path / "a", options=Options(tolerance=1e-3))
    assert manifest.parity is not None
    assert manifest.bytes > 1 << 31


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda data: data.unlink(),
            "its external data is missing: .*model.onnx_data .*copy model.onnx_data",
        ),
        (lambda data: data.write_bytes(b"0" * 8), "its external data is cut off: .* has 8 bytes, and"),
    ],
    ids=["missing", "short"],
)
def test_external_data_that_is_not_all_there(change: object, said: str, tmp_path: Path) -> None:
    path = with_data_beside(mlp(), tmp_path)
    change(path.with_name("model.onnx_data"))  # type: ignore[operator]
    with pytest.raises(ModelError, match=said):
        read_model(path, {})


@pytest.mark.parametrize("place", ["../secret", "/etc/passwd"])
def test_external_data_outside_the_folder_is_refused(place: str, tmp_path: Path) -> None:
    made = mlp()
    made.graph.initializer[0].ClearField("raw_data")
    made.graph.initializer[0].data_location = TensorProto.EXTERNAL
    made.graph.initializer[0].external_data.add(key="location", value=place)
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(ModelError, match="which is not beside the model"):
        read_model(tmp_path / "m.onnx", {})


def test_a_constant_inside_a_node_may_lie_outside_too(tmp_path: Path) -> None:
    made = model(
        [node("Constant", "", "c", value=constant("c", [1, 2, 3], "float32")), node("Add", "x c", "y")],
        [tensor("x", [3])],
        [tensor("y", [3])],
    )
    del made.graph.node[0].input[:]
    (tmp_path / "c.bin").write_bytes(np.array([5, 6, 7], np.float32).tobytes())
    inner = made.graph.node[0].attribute[0].t
    inner.ClearField("raw_data")
    inner.data_location = TensorProto.EXTERNAL
    inner.external_data.add(key="location", value="c.bin")
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    source = read_model(tmp_path / "m.onnx", {})
    assert source.reference({"x": np.zeros(3, np.float32)})["y"].tolist() == [5, 6, 7]
    assert compile_model(tmp_path / "m.onnx", tmp_path / "a", options=Options()).parity is not None
