"""The user's own inputs, and `dyno verify`."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modeldyno.base.digests import digest_files
from modeldyno.base.errors import ConfigError, ParityError
from modeldyno.base.records.record import TensorSpec
from modeldyno.compiler import compile_model
from modeldyno.compiler.check.user_inputs import read_inputs, read_open_inputs
from modeldyno.compiler.model.shapes import parse_shapes, template
from modeldyno.compiler.reverify import verify_artifact
from modeldyno.runtime.records.manifest_file import read_manifest
from tests.compiler.models import conv_net, mlp, model, node, saved, tensor, weights
from tests.compiler.test_build import wrong_stage

X = np.linspace(-2, 2, 16, dtype=np.float32).reshape(2, 8)
SPECS = (TensorSpec(name="x", dtype="float32", shape=(2, 8)),)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    np.savez(folder / "mine.npz", x=X)
    compile_model(saved(folder / "mlp.onnx", mlp()), folder / "out", inputs=[folder / "mine.npz", {"x": -X}])
    return folder


def test_the_manifest_says_which_records_were_checked(compiled: Path) -> None:
    report = read_manifest(compiled / "out").parity
    assert report is not None
    files = [sample for sample in report.samples if sample.kind == "file"]
    assert [sample.file for sample in files] == ["mine.npz", "record 2"]
    assert files[0].digest == digest_files([compiled / "mine.npz"])
    assert all(sample.share <= 1 for sample in report.samples)
    assert [sample.kind for sample in report.samples][:2] == ["normal", "file"]
    (row,) = report.outputs
    assert row.tolerance == 1e-4
    assert row.delta is not None
    assert 2**-25 <= row.delta < 1e-5
    assert row.decided


def written(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "mine.npz", **arrays)
    return folder / "mine.npz"


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({}, r"mine\.npz has no array for the input 'x'; the model's inputs are: x"),
        ({"x": X, "z": X}, r"mine\.npz has an array 'z'; the model's inputs are: x"),
        ({"x": X.astype(np.float64)}, r"'x' is float64, and the model takes float32: save it as .*astype"),
        ({"x": X[:1]}, r"'x' has the shape \[1, 8\], and the model takes \[2, 8\]"),
        ({"x": np.array([{}], object)}, r"'x' holds Python objects, which are not unpickled"),
    ],
    ids=["missing", "unknown", "type", "shape", "pickle"],
)
def test_records_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_inputs([written(tmp_path, **arrays)], SPECS)


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="file not found"):
        read_inputs([tmp_path / "none.npz"], SPECS)
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(ConfigError, match=r"is no \.npz file"):
        read_inputs([tmp_path / "x.npy"], SPECS)
    whole = written(tmp_path, x=X).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:-30])
    with pytest.raises(ConfigError, match=r"cut\.npz"):
        read_inputs([tmp_path / "cut.npz"], SPECS)
    np.savez_compressed(tmp_path / "spoiled.npz", x=X)
    spoiled = bytearray((tmp_path / "spoiled.npz").read_bytes())
    spoiled[60:80] = bytes(20)
    (tmp_path / "spoiled.npz").write_bytes(spoiled)
    with pytest.raises(ConfigError, match=r"spoiled\.npz"):
        read_inputs([tmp_path / "spoiled.npz"], SPECS)


def test_no_more_is_unpacked_than_the_header_says(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, X)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", stream.getvalue() + bytes(200 << 20))
    with pytest.raises(ConfigError, match="'x' holds 65 bytes, and its header says 64"):
        read_inputs([tmp_path / "bomb.npz"], SPECS)


def test_other_byte_orders_layouts_and_open_sizes_are_read(tmp_path: Path) -> None:
    file = written(tmp_path, x=np.asfortranarray(X.astype(">f4")))
    open_ = TensorSpec(name="x", dtype="float32", shape=(None, 8), limits=((1, 4), None))
    (record,) = read_inputs([file], [open_])
    assert record.feeds["x"].dtype == np.dtype("float32")
    assert np.array_equal(record.feeds["x"], X)
    with pytest.raises(ConfigError, match=r"the model takes \[1\.\.4, 8\]"):
        read_inputs([{"x": np.zeros((5, 8), np.float32)}], [open_])


def test_a_record_that_differs_leaves_no_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [node("MatMul", "x w", "h"), node("Relu", "h", "y")]
    made = model(nodes, [tensor("x", [2, 8])], [tensor("y", [2, 4])], [weights("w", 8, 4)])
    net = saved(tmp_path / "net.onnx", made)
    assert compile_model(net, tmp_path / "out", inputs=[{"x": X}]).parity is not None
    wrong_stage(monkeypatch)
    with pytest.raises(ParityError):
        compile_model(net, tmp_path / "other", inputs=[{"x": X}])
    assert not (tmp_path / "other").exists()


def test_each_record_is_checked_in_the_bucket_it_falls_into(tmp_path: Path) -> None:
    net = saved(tmp_path / "mlp.onnx", mlp("rows"))
    records = [{"x": X}, {"x": np.tile(X, (4, 1))[:7]}]
    manifest = compile_model(net, tmp_path / "out", shapes={"x": ("1..8@1|4|8", 8)}, inputs=records)
    assert manifest.parity is not None
    samples = manifest.parity.samples
    assert [sample.file for sample in samples if sample.kind == "file"] == ["record 1", "record 2"]
    assert {sample.kind for sample in samples} >= {"normal", "large", "padded"}
    assert {sample.shapes for sample in samples if sample.kind == "padded"} == {"2", "5"}
    found = verify_artifact(tmp_path / "out", net, inputs=records, seed=3)
    assert (found.verdict, found.same_source) == ("same", True)
    assert {sample.kind for sample in found.parity.samples} >= {"normal", "large", "padded", "file"}


def test_a_record_of_a_size_that_is_not_compiled_is_refused() -> None:
    sizes = parse_shapes({"x": ("2|4", 8), "z": ("2|4", 8)})
    shaped = template({"x": ("n", 8), "z": ("n", 8)}, sizes)
    dtypes = dict.fromkeys("xz", "float32")

    def read(x: int, z: int) -> None:
        read_open_inputs(
            [{"x": np.zeros((x, 8), np.float32), "z": np.zeros((z, 8), np.float32)}], shaped, dtypes
        )

    read(4, 4)
    with pytest.raises(ConfigError, match=r"x\[0\] is 3, z\[0\] is 3; the sizes that are compiled are 2\|4"):
        read(3, 3)
    with pytest.raises(ConfigError, match=r"x\[0\] is 2, z\[0\] is 4: these move together \(n\)"):
        read(2, 4)


def dyno(*args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modeldyno", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_verify_exits_0_where_nothing_differs(compiled: Path) -> None:
    done = dyno(
        "verify", compiled / "out", compiled / "mlp.onnx", "--inputs", compiled / "mine.npz", "--json"
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert (found["verdict"], found["same_source"]) == ("same", True)
    assert "mine.npz" in [sample["file"] for sample in found["parity"]["samples"]]


def test_verify_exits_1_where_another_model_answers(compiled: Path, tmp_path: Path) -> None:
    other = mlp()
    other.graph.initializer[0].CopyFrom(weights("w1", 8, 24, seed=5))
    done = dyno("verify", compiled / "out", saved(tmp_path / "other.onnx", other))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("differs: output 'y' differs from onnxruntime")
    assert "is not the very file" in done.stderr


def test_verify_exits_2_for_what_does_not_fit(compiled: Path, tmp_path: Path) -> None:
    done = dyno("verify", compiled / "out", saved(tmp_path / "net.onnx", conv_net()))
    assert done.returncode == 2
    assert "x: the model has no such input" in done.stderr
    assert dyno("verify", tmp_path, compiled / "mlp.onnx").returncode == 2
    np.savez(tmp_path / "z.npz", z=X)
    done = dyno("verify", compiled / "out", compiled / "mlp.onnx", "--inputs", tmp_path / "z.npz")
    assert (done.returncode, "has an array 'z'" in done.stderr) == (2, True)


def test_verify_exits_3_where_the_source_model_decides_nothing(tmp_path: Path) -> None:
    from tests.cases.test_false_refusals import left_over

    net = saved(tmp_path / "net.onnx", left_over())
    done = dyno("compile", net, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "parity of y: not decided: the source model's own output changes by" in done.stdout
    done = dyno("verify", tmp_path / "out", net)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (3, "not decided")
    assert "not decided" in dyno("inspect", tmp_path / "out").stdout
