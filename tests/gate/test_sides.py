"""What a REF stands for, and which two of them are the same."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from modeldyno.base.errors import ArtifactError, ConfigError, ModelError
from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.record import write_record
from modeldyno.compiler.artifact.manifests import write_manifest
from modeldyno.gate.content.read import content_of
from modeldyno.gate.sides.record import Side
from modeldyno.gate.sides.resolve import resolve
from modeldyno.gate.store.folder import save
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.records.manifest_file import read_manifest
from tests.gate.made import load_result
from tests.serving.models import matmul

SCRIPT = "def model_fn(folder):\n    return 2\n"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "server"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "inference.py").write_text(SCRIPT)
    (folder / "weights.bin").write_bytes(b"w")
    return folder


def side(path: Path, **settings: object) -> Side:
    return resolve(str(path), Path("no store"), settings)


def test_each_kind_of_reference_is_told(
    models: Path, artifact: Path, code: Path, tmp_path: Path, store: Path
) -> None:
    write_record(tmp_path / "run.json", load_result())
    kinds = {
        str(models / "tiny.onnx"): "model",
        str(artifact): "artifact",
        str(code): "server folder",
        str(tmp_path / "run.json"): "saved run",
        "localhost:8080": "url",
        "https://example.test/m/invocations": "url",
    }
    assert {reference: resolve(reference, store).kind for reference in kinds} == kinds
    assert resolve("localhost:8080", store).url == "http://localhost:8080/invocations"
    served = {reference for reference in kinds if resolve(reference, store).served}
    assert served == {str(models / "tiny.onnx"), str(artifact), str(code)}


def test_the_same_file_on_both_sides_is_the_same_by_digest_wherever_it_lies(
    models: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copy(models / "tiny.onnx", tmp_path / "renamed.onnx"))
    assert side(models / "tiny.onnx").digest == side(models / "tiny.onnx").digest == side(copied).digest
    assert side(models / "other.onnx").digest != side(copied).digest


def test_two_compiles_of_one_model_are_the_same_though_their_manifests_say_other_times(
    artifact: Path, again: Path
) -> None:
    assert (artifact / "manifest.json").read_bytes() != (again / "manifest.json").read_bytes()
    assert side(artifact).digest == side(again).digest


def later(folder: Path) -> Manifest:
    """Write an artifact's manifests as if it had been compiled at another time."""
    manifest = read_manifest(folder)
    segments = tuple(
        each.model_copy(update={"digest": later(folder / each.path).manifest_digest})
        if each.is_compiled
        else each
        for each in manifest.segments
    )
    changed: dict[str, object] = {"created_at": "2030-01-01T00:00:00+00:00", "segments": segments}
    if manifest.buckets:
        buckets = tuple(
            each.model_copy(update={"manifest_digest": later(folder / each.folder).manifest_digest})
            for each in manifest.buckets.buckets
        )
        changed["buckets"] = manifest.buckets.model_copy(update={"buckets": buckets})
    return write_manifest(folder, manifest.model_copy(update=changed))


def test_times_in_the_manifests_of_buckets_and_segments_do_not_matter_either(
    ranged: Path, segmented: Path, tmp_path: Path
) -> None:
    for number, folder in enumerate((ranged, segmented)):
        copy = shutil.copytree(folder, tmp_path / str(number))
        later(copy)
        assert read_manifest(copy).manifest_digest != read_manifest(folder).manifest_digest
        assert side(copy).digest == side(folder).digest


def test_an_artifact_is_another_than_its_model_and_than_that_of_other_weights(
    models: Path, artifact: Path, ranged: Path
) -> None:
    digests = {side(each).digest for each in (models / "tiny.onnx", artifact, ranged)}
    assert len(digests) == 3


def test_settings_of_the_server_are_in_the_digest(artifact: Path) -> None:
    one = side(artifact, threads=1, workers=2)
    assert one.digest == side(artifact, workers=2, threads=1).digest
    assert one.digest != side(artifact, threads=2, workers=2).digest


def test_weights_beside_a_model_are_in_its_digest(tmp_path: Path) -> None:
    model = matmul(tmp_path / "m.onnx", external=True)
    before = content_of(model)
    assert [str(place) for place, _ in before.files] == ["m.onnx", "m.data"]
    data = bytearray((tmp_path / "m.data").read_bytes())
    data[0] ^= 1
    (tmp_path / "m.data").write_bytes(data)
    assert content_of(model).digest != before.digest


def test_each_file_of_an_artifact_of_several_shapes_and_of_segments_is_listed(
    ranged: Path, segmented: Path
) -> None:
    for folder in (ranged, segmented):
        there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert {str(place) for place, _ in content_of(folder).files} == there


def test_a_bucket_by_itself_has_the_weights_of_the_artifact_around_it(ranged: Path) -> None:
    found = content_of(ranged / "buckets" / "1")
    assert "weights.bin" in {str(place) for place, _ in found.files}
    assert len(found.served.parts) == 2


def test_every_file_of_a_server_folder_is_in_its_digest_and_caches_are_not(code: Path) -> None:
    before = side(code).digest
    (code / "code" / "__pycache__").mkdir()
    (code / "code" / "__pycache__" / "x.pyc").write_bytes(b"1")
    assert side(code).digest == before
    (code / "weights.bin").write_bytes(b"v")
    changed = side(code).digest
    assert changed != before
    (code / "weights.bin").rename(code / "other.bin")
    assert side(code).digest != changed


def test_links_of_a_server_folder_are_followed_and_circles_and_sockets_left_out(
    code: Path, tmp_path: Path
) -> None:
    (tmp_path / "big.bin").write_bytes(b"one")
    (code / "linked.bin").symlink_to(tmp_path / "big.bin")
    (code / "round").symlink_to(code)
    (code / "dead").symlink_to(code / "nothing")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(code)  # such a name may have 107 bytes
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
        found = content_of(code)
    names = {str(place) for place, _ in found.files}
    assert names == {"code/inference.py", "weights.bin", "linked.bin"}
    (tmp_path / "big.bin").write_bytes(b"two")
    assert content_of(code).digest != found.digest


def test_a_torch_model_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "m.pt2").write_bytes(b"PK\x03\x04")
    with pytest.raises(ConfigError, match="which nothing serves as it is: `dyno compile"):
        side(tmp_path / "m.pt2")


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("", "unknown file, folder or baseline ''"),
        ("nain", "nearest: main"),
        ("store/nothing", "store/nothing does not exist: expected an .onnx file"),
        ("tniy.onnx", "does not exist .*has tiny.onnx"),
        ("x" * 5000, "unknown file"),
        ("a\0b", "unknown file"),
        ("ftp://host/m", "is no URL of an endpoint"),
        ("http://me:word@host", "would be kept in the result"),
        ("empty", "no manifest.json and no code/inference.py"),
        ("other.json", "neither the result of a load test nor that of a gate"),
        ("list.json", "holds no JSON object"),
        ("cut.json", "cannot read cut.json"),
        ("pipe", "is no file and no folder"),
        ("x.npz", "is a zip file, no ONNX model"),
    ],
)
def test_what_is_no_side_is_told_with_what_could_be_meant(
    reference: str, said: str, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = tmp_path / "store"
    save(store, "main", content_of(models / "tiny.onnx"), "tiny.onnx")
    shutil.copy(models / "tiny.onnx", "tiny.onnx")
    Path("empty").mkdir()
    Path("other.json").write_text("{}")
    Path("list.json").write_text("[]")
    Path("cut.json").write_text('{"spec"')
    os.mkfifo("pipe")
    Path("x.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(ConfigError, match=said):
        resolve(reference, store)


def test_a_damaged_model_and_a_damaged_artifact_say_so(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\x08" + b"no model" * 9)
    with pytest.raises(ModelError, match="no readable ONNX file"):
        side(tmp_path / "m.onnx")
    broken = shutil.copytree(artifact, tmp_path / "broken")
    with (broken / "weights.bin").open("r+b") as stream:
        stream.write(b"\xff\xff\xff")
    with pytest.raises(ArtifactError, match=r"weights\.bin is damaged"):
        side(broken)


def test_a_void_load_test_is_no_side(tmp_path: Path) -> None:
    void: LoadResult = load_result(invalid_reasons=("it sent late",))
    write_record(tmp_path / "run.json", void)
    with pytest.raises(ConfigError, match="void load test: it sent late"):
        side(tmp_path / "run.json")


def test_a_path_that_is_there_is_meant_before_a_baseline_of_its_name_and_says_so(
    models: Path, artifact: Path, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(store, "main", content_of(models / "tiny.onnx"), "tiny.onnx")
    assert resolve("main", store).baseline == "main"
    Path("main").mkdir()  # a folder of something else
    assert resolve("main", store).baseline == "main"
    Path("main").rmdir()
    shutil.copytree(artifact, "main")
    found = resolve("main", store)
    assert (found.baseline, found.kind) == ("", "artifact")
    assert "not the baseline main" in found.detail
    assert resolve("./main", store).detail.endswith("one shape")


def test_a_side_is_recorded_with_what_it_is(models: Path, store: Path) -> None:
    save(store, "main", content_of(models / "tiny.onnx"), "tiny.onnx")
    assert resolve("main", store).recorded().kind == "baseline"
    assert side(models / "tiny.onnx").recorded().kind == "model"
