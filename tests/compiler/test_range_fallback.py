"""Ranges of a model that can't be compiled as a whole: each bucket in segments, all on one weights file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from modeldyno.base.errors import ArtifactError, ConfigError, CoverageError, ModelError
from modeldyno.base.host.facts import host_facts
from modeldyno.compiler.models import compile_model
from modeldyno.compiler.options import Options
from modeldyno.runtime.artifact import read_bucket
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.manifest import MANIFEST_NAME
from modeldyno.runtime.records.manifest_file import read_manifest, sealed
from modeldyno.runtime.records.weights import WEIGHTS_NAME
from modeldyno.runtime.sessions.buckets import BucketedSession
from modeldyno.runtime.tools.bundle import write_bundle
from modeldyno.runtime.tools.inspection import compiled_lines, inspect_artifact, lines
from modeldyno.runtime.tools.profiler import profile
from tests.bucketed import numbers, same, source
from tests.compiler.models import counted, saved, text_net
from tests.compiler.sequence_models import encoder, tokens

FALLBACK = Options(fallback="onnxruntime")
MICROSOFT = "com.microsoft"
MOST = 5


@pytest.fixture(scope="module")
def ranged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Buckets 1, 2, 4 and 5, each compiled, onnxruntime, compiled."""
    folder = tmp_path_factory.mktemp("ranged")
    shapes = {"x": (f"1..{MOST}", 6, 6, 8)}
    compile_model(saved(folder / "m.onnx", counted()), folder / "out", shapes=shapes, options=FALLBACK)
    return folder / "out"


@pytest.fixture
def copy(ranged: Path, tmp_path: Path) -> Path:
    return shutil.copytree(ranged, tmp_path / "copy")


def test_every_number_of_rows_gives_the_sources_results(ranged: Path) -> None:
    session, reference = open_session(ranged, 1), source(ranged.parent / "m.onnx")
    for rows in (*range(1, MOST + 1), 7, 13):
        same(session.run(numbers(rows)), reference(numbers(rows)))


def test_threads_of_many_sizes_get_their_own_results(ranged: Path) -> None:
    session, reference = open_session(ranged, 1), source(ranged.parent / "m.onnx")
    sizes = [1, 5, 2, 7, 3, 4] * 8
    with ThreadPoolExecutor(4) as pool:
        for size, found in zip(sizes, pool.map(lambda rows: session.run(numbers(rows)), sizes), strict=True):
            same(found, reference(numbers(size)))


def test_all_buckets_and_both_runtimes_read_one_copy_of_the_weights(ranged: Path) -> None:
    manifest = read_manifest(ranged)
    assert manifest.weights is not None
    assert manifest.buckets is not None
    files = [path for path in ranged.rglob("*") if path.name == WEIGHTS_NAME]
    assert files == [ranged / WEIGHTS_NAME]
    filters = onnx.numpy_helper.to_array(counted().graph.initializer[0])
    assert (ranged / WEIGHTS_NAME).read_bytes().count(filters.tobytes()) == 1
    for bucket in manifest.buckets.buckets:
        (middle,) = [each for each in read_bucket(ranged, bucket).segments if not each.is_compiled]
        assert middle.weights["filters"].shape == (32, 8, 3, 3)
        assert middle.bytes < 1024
    session = open_session(ranged, 1)
    assert isinstance(session, BucketedSession)
    parts: list[Any] = [session.part((rows,)) for rows in (1, 4)]
    places = [part._parts[1]._weights[0].data_ptr() for part in parts]
    assert places[0] == places[1]


def test_the_manifest_says_for_each_bucket_how_much_is_compiled_and_once_what_is_not(ranged: Path) -> None:
    manifest = read_manifest(ranged)
    assert manifest.buckets is not None
    assert manifest.coverage is not None
    assert manifest.needs_onnxruntime
    assert [each.operator for each in manifest.buckets.not_compiled] == ["ConvInteger"]
    shares = [(bucket.operators_share, bucket.flops_share) for bucket in manifest.buckets.buckets]
    assert shares == [(5 / 6, manifest.coverage.flops_share)] * 4
    assert [bucket.in_segments for bucket in manifest.buckets.buckets] == [True] * 4
    told = compiled_lines(manifest)
    assert "not compiled: ConvInteger" in told[0]
    assert "ConvInteger (node 'whole', domain ai.onnx, opset 17)" in told[1]


def test_inspect_shows_the_share_of_each_bucket_and_what_is_not_compiled(ranged: Path) -> None:
    told = "\n".join(lines(inspect_artifact(ranged, host_facts())))
    assert "all files are whole" in told
    assert told.count("of the FLOPs, most padding") == 4
    assert "ConvInteger (node 'whole'" in told


def test_a_bucket_and_a_segment_of_it_can_be_looked_at_alone(ranged: Path) -> None:
    reference = source(ranged.parent / "m.onnx")
    same(open_session(ranged / "buckets/4", 1).run(numbers(4)), reference(numbers(4)))
    inner = ranged / "buckets/4/segments/00"
    assert inspect_artifact(inner, host_facts()).damage is None
    assert open_session(inner, 1).run(numbers(4))
    with pytest.raises(ArtifactError, match=r"each by itself: buckets/4/segments/00, buckets/4/segments/02$"):
        profile(ranged, threads=1, bucket=(4,))
    assert profile(ranged / "buckets/4/segments/02", threads=1, repeats=5).kernels


PARTS = ("segments/01.onnx", "segments/00/manifest.json", "segments/02/model.so", "manifest.json")


@pytest.mark.parametrize("name", [*(f"buckets/4/{part}" for part in PARTS), WEIGHTS_NAME])
@pytest.mark.parametrize("how", ["damaged", "missing"])
def test_each_damaged_or_missing_file_is_found(copy: Path, name: str, how: str) -> None:
    file = copy / name
    data = bytearray(file.read_bytes())
    file.unlink()
    if how == "damaged":
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    with pytest.raises(ArtifactError, match=file.name if how == "damaged" else "is damaged|is no artifact"):
        open_session(copy, 1).run(numbers(4))
    assert inspect_artifact(copy, host_facts()).damage
    with pytest.raises(ArtifactError):
        write_bundle(copy, copy.with_name("app.tar.gz"))


@pytest.mark.parametrize(
    ("place", "change", "message"),
    [
        ("", {"target": {"features": ["avx1024"]}}, "CPU features that this machine lacks: avx1024"),
        ("", {"target": {"triple": "sparc-linux-gnu"}}, "was compiled for sparc"),
        ("", {"schema_version": 99}, "has schema_version 99, this modeldyno reads"),
        ("buckets/4", {"schema_version": 99}, "has schema_version 99, this modeldyno reads"),
        ("buckets/4/segments/00", {"model": "another"}, "segments/00 is damaged: its digest"),
    ],
)
def test_what_can_not_run_here_says_why(copy: Path, place: str, change: dict[str, Any], message: str) -> None:
    manifest = json.loads((copy / place / MANIFEST_NAME).read_text())
    for key, value in change.items():
        manifest[key] = {**manifest[key], **value} if isinstance(value, dict) else value
    text = json.dumps({**manifest, "manifest_digest": ""}, indent=2)
    (copy / place / MANIFEST_NAME).write_text(sealed(text))
    with pytest.raises(ArtifactError, match=message):
        open_session(copy, 1).run(numbers(4))


def test_a_segment_of_another_bucket_is_refused(copy: Path) -> None:
    shutil.rmtree(copy / "buckets/4/segments/00")
    shutil.copytree(copy / "buckets/2/segments/00", copy / "buckets/4/segments/00")
    with pytest.raises(ArtifactError, match=r"buckets/4/segments/00 is damaged: its digest is not"):
        open_session(copy, 1)


def test_a_bundle_has_the_parts_of_every_bucket(ranged: Path, tmp_path: Path) -> None:
    made = write_bundle(ranged, tmp_path / "app.tar.gz")
    assert made.needs
    with tarfile.open(made.path) as opened:
        opened.extractall(tmp_path, filter="data")
    np.save(tmp_path / "x.npy", numbers(3)["x"])
    command = [sys.executable, "-I", tmp_path / "app/run.py", "--input", tmp_path / "x.npy"]
    command += ["--output", tmp_path / "out", "--repeat", "1"]
    subprocess.run([*map(str, command)], capture_output=True, text=True, check=True, timeout=120)
    expected = source(ranged.parent / "m.onnx")(numbers(3))["y"]
    np.testing.assert_allclose(np.load(tmp_path / "out/y.npy"), expected, rtol=1e-4, atol=1e-5)


def test_a_part_is_not_bundled_without_the_weights_around_it(ranged: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"is a part of .*out, which has its weights: bundle that"):
        write_bundle(ranged / "buckets/4", tmp_path / "app.tar.gz")


def test_the_least_share_is_asked_of_every_bucket(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", counted())
    shapes = {"x": ("1|2", 6, 6, 8)}
    with pytest.raises(CoverageError, match=r"^bucket 2: .*`min_compiled` asks for 90 %") as caught:
        compile_model(path, tmp_path / "out", shapes=shapes, options=replace(FALLBACK, min_compiled=0.9))
    assert caught.value.exit_code == 1
    assert not (tmp_path / "out").exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["m.onnx"]


def quick_encoder() -> onnx.ModelProto:
    """A masked encoder with an activation that is not compiled."""
    made = encoder(mask=True)
    relu = next(each for each in made.graph.node if each.op_type == "Relu")
    relu.op_type, relu.domain = "QuickGelu", MICROSOFT
    made.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    return made


def test_two_axes_are_padded_around_what_is_not_compiled(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", quick_encoder())
    shapes = {"input_ids": ("1..3@3", "2..8@4|8")}
    manifest = compile_model(path, tmp_path / "out", shapes=shapes, options=FALLBACK)
    assert manifest.needs_onnxruntime
    session, reference = open_session(tmp_path / "out", 1), source(path)
    for count in (1, 2, 3, 4):
        for length in (2, 4, 5, 8):
            same(session.run(tokens(count, length)), reference(tokens(count, length)))


def test_a_range_of_which_all_compiles_has_no_segments(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", encoder(mask=True))
    shapes = {"input_ids": ("1|2", 4)}
    manifest = compile_model(path, tmp_path / "out", shapes=shapes, options=FALLBACK)
    assert manifest.buckets is not None
    assert not manifest.needs_onnxruntime
    assert not any(bucket.in_segments for bucket in manifest.buckets.buckets)


def test_text_and_torch_models_are_refused_in_words(tmp_path: Path) -> None:
    text = text_net()
    text.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "rows"
    path = saved(tmp_path / "text.onnx", text)
    with pytest.raises(ModelError, match="element type STRING, which is not supported; a range pads it with"):
        compile_model(path, tmp_path / "out", shapes={"words": ("1..2", 4)}, options=FALLBACK)
    torch = pytest.importorskip("torch")
    with pytest.raises(ConfigError, match="export this one to ONNX"):
        compile_model(
            torch.nn.Linear(2, 2),
            tmp_path / "out",
            shapes={"input": ("1..2", 2)},
            example_inputs=(torch.zeros(1, 2),),
            options=FALLBACK,
        )
