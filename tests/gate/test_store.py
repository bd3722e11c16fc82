"""Baselines: copied whole or not at all, by themselves, and refused when damaged."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from modeldyno.base.errors import ConfigError, DynoError
from modeldyno.base.records.record import write_record
from modeldyno.gate.baseline_cli import baseline_command
from modeldyno.gate.content.read import content_of
from modeldyno.gate.sides.resolve import resolve
from modeldyno.gate.store.folder import baselines, checked, names, read, remove, save
from modeldyno.gate.store.records import Baseline
from modeldyno.runtime.open import open_session
from tests.gate.made import load_result
from tests.serving.models import loaded, matmul

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def kept(store: Path, path: Path, name: str = "main") -> Baseline:
    return save(store, name, content_of(path), str(path), lambda: NOON)


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(baseline_command, [str(each) for each in args])


def test_a_copy_needs_nothing_of_what_it_was_copied_from(artifact: Path, store: Path, tmp_path: Path) -> None:
    source = shutil.copytree(artifact, tmp_path / "source")
    record = kept(store, source)
    shutil.rmtree(source)
    moved = (store / "main").rename(store / "moved")
    assert moved.is_dir()
    read_again, served = checked(store, "moved")
    assert read_again == record
    assert open_session(served, 1).run({"x": np.ones((1, 8), np.float32)})["y"].shape == (1, 8)
    assert resolve("moved", store).digest == resolve(str(artifact), store).digest


def test_links_and_weights_beside_a_model_are_copied(store: Path, tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    matmul(tmp_path / "m.onnx", external=True)
    links = tmp_path / "links"
    links.mkdir()
    for name in ("m.onnx", "m.data"):  # as Hugging Face's cache has them
        (tmp_path / name).rename(blobs / name[::-1])
        (links / name).symlink_to(blobs / name[::-1])
    kept(store, links / "m.onnx")
    shutil.rmtree(blobs)
    _, served = checked(store, "main")
    assert not any(path.is_symlink() for path in (store / "main").rglob("*"))
    assert loaded(served).run({"x": np.ones((1, 4), np.float32)})["y"].shape == (1, 3)


def test_a_bucket_by_itself_and_segments_can_be_kept(ranged: Path, segmented: Path, store: Path) -> None:
    for name, folder, shape in (("bucket", ranged / "buckets" / "2", (2, 8)), ("parts", segmented, None)):
        kept(store, folder, name)
        session = open_session(checked(store, name)[1], 1)
        assert shape is None or session.inputs[0].shape == shape


def test_what_had_the_name_is_replaced_and_the_time_and_host_are_kept(models: Path, store: Path) -> None:
    first = kept(store, models / "tiny.onnx")
    second = kept(store, models / "other.onnx")
    assert first.digest != second.digest
    assert read(store, "main") == second
    assert second.created_at == "2026-11-30T12:00:00+00:00"
    assert {"modeldyno", "onnxruntime"} <= second.host.packages.keys()
    assert [path.name for path in store.iterdir()] == ["main"]


def test_a_copy_that_fails_leaves_the_one_before_and_nothing_else(
    models: Path, store: Path, tmp_path: Path
) -> None:
    first = kept(store, models / "tiny.onnx")
    source = tmp_path / "m.onnx"
    shutil.copy(models / "other.onnx", source)
    content = content_of(source)
    shutil.copy(models / "tiny.onnx", source)  # between reading and copying
    with pytest.raises(ConfigError, match="changed while it was copied"):
        save(store, "main", content, "m.onnx")
    source.unlink()
    with pytest.raises(ConfigError, match="cannot read"):
        save(store, "main", content, "m.onnx")
    assert read(store, "main") == first
    assert [path.name for path in store.iterdir()] == ["main"]


@pytest.mark.parametrize("harm", ["changed", "missing", "added", "record"])
def test_a_damaged_copy_is_refused_and_can_be_removed(harm: str, artifact: Path, store: Path) -> None:
    kept(store, artifact)
    inner = store / "main" / "content"
    said = {
        "changed": "weights.bin was changed",
        "missing": "weights.bin is missing",
        "added": "new.txt was not saved with it",
        "record": "no valid Baseline",
    }[harm]
    if harm == "changed":
        with (inner / "weights.bin").open("r+b") as stream:
            stream.write(b"\xff")
    elif harm == "missing":
        (inner / "weights.bin").unlink()
    elif harm == "added":
        (inner / "new.txt").write_text("")
    else:
        (store / "main" / "baseline.json").write_text("{}")
    with pytest.raises(ConfigError, match=said):
        resolve("main", store)
    remove(store, "main")
    assert names(store) == ()
    assert list(store.iterdir()) == []


def test_a_damaged_record_does_not_hide_the_others(models: Path, store: Path) -> None:
    kept(store, models / "tiny.onnx")
    (store / "broken").mkdir()
    found = dict(baselines(store))
    assert isinstance(found["broken"], ConfigError)
    assert isinstance(found["main"], Baseline)
    done = run("list", "--store", store)
    assert done.exit_code == 0
    assert "broken: cannot read" in done.output
    assert "tiny.onnx" in done.output


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "-x", "a b", "x" * 129])
def test_names_that_would_lead_elsewhere_are_refused(name: str, models: Path, store: Path) -> None:
    with pytest.raises(ConfigError, match="can't have the name"):
        kept(store, models / "tiny.onnx", name)
    with pytest.raises(ConfigError, match="unknown baseline"):
        remove(store, name)


def test_a_server_folder_that_holds_the_store_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "inference.py").write_text("x = 1\n")
    store = tmp_path / ".dyno" / "baselines"
    kept(store, tmp_path)
    kept(store, tmp_path)
    assert list(read(store, "main").files) == ["inference.py"]


def test_numbers_are_kept_as_numbers(store: Path, tmp_path: Path) -> None:
    write_record(tmp_path / "run.json", load_result())
    assert kept(store, tmp_path / "run.json").kind == "saved run"
    side = resolve("main", store)
    assert (side.kind, side.served, side.baseline) == ("saved run", False, "main")


def test_the_commands_save_list_show_and_remove(models: Path, store: Path) -> None:
    at = ("--store", store)
    saved = run("save", "main", models / "tiny.onnx", *at)
    assert saved.exit_code == 0
    assert "saved main: tiny.onnx" in saved.output
    (listed,) = json.loads(run("list", "--json", *at).stdout)
    assert (listed["name"], listed["kind"]) == ("main", "model")
    shown = json.loads(run("show", "main", "--json", *at).stdout)
    assert shown["path"] == str(store / "main" / "content" / "tiny.onnx")
    assert "served by ONNX Runtime" in run("show", "main", *at).stdout
    assert json.loads(run("save", "copy", "main", "--json", *at).stdout)["digest"] == listed["digest"]
    assert run("remove", "main", *at).exit_code == 0
    assert [each["name"] for each in json.loads(run("list", "--json", *at).stdout)] == ["copy"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("save", "main", "http://127.0.0.1:1"), "is a URL, of which no copy can be kept"),
        (("save", "a/b", "tiny.onnx"), "can't have the name"),
        (("save", "main", "nothing"), "unknown file, folder or baseline"),
        (("show", "man"), "unknown baseline 'man'"),
        (("remove", "man"), "`dyno baseline save NAME REF` makes one"),
    ],
)
def test_bad_input_of_the_commands_is_told(args: tuple[str, ...], said: str, store: Path) -> None:
    done = run(*args, "--store", store)
    assert isinstance(done.exception, DynoError)
    assert said in str(done.exception)


def test_a_store_that_can_not_be_written_can_be_read(models: Path, store: Path) -> None:
    kept(store, models / "tiny.onnx")
    store.chmod(0o555)
    try:
        assert run("list", "--store", store).exit_code == 0
        assert run("show", "main", "--store", store).exit_code == 0
        if os.geteuid():  # rights do not hold for root
            assert run("remove", "main", "--store", store).exit_code == 2
    finally:
        store.chmod(0o755)


@pytest.mark.parametrize("name", sorted(baseline_command.commands))
def test_each_command_has_an_example_exit_codes_a_store_and_json(name: str) -> None:
    text = run(name, "--help").output
    assert f"dyno baseline {name}" in text.partition("Example:\n")[2]
    assert "Exit codes: 0 " in text
    assert {"--store", "--json"} <= set(text.split())
