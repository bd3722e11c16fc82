"""Damaged and foreign artifacts: each its own error, before any of their code is loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modeldyno.base.errors import ArtifactError
from modeldyno.base.host.facts import host_facts
from modeldyno.runtime.artifact import missing_features, open_artifact
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.manifest import LIBRARY_NAME, MANIFEST_NAME
from modeldyno.runtime.records.manifest_file import sealed
from modeldyno.runtime.records.weights import WEIGHTS_NAME


@pytest.fixture
def copy(artifact: Path, tmp_path: Path) -> Path:
    return shutil.copytree(artifact, tmp_path / "copy")


def edited(**changes: Any) -> Callable[[Path], None]:
    """Change the manifest; `target__cpu` means target.cpu."""

    def edit(folder: Path) -> None:
        document = json.loads((folder / MANIFEST_NAME).read_text())
        for key, value in changes.items():
            *way, last = key.split("__")
            place = document
            for step in way:
                place = place[step]
            place[last] = value
        document["manifest_digest"] = ""
        (folder / MANIFEST_NAME).write_text(sealed(json.dumps(document)))

    return edit


def edit_unsealed(folder: Path) -> None:
    manifest = folder / MANIFEST_NAME
    manifest.write_text(manifest.read_text().replace('"mlp.onnx"', '"mlq.onnx"'))


def flip(folder: Path) -> None:
    library = folder / LIBRARY_NAME
    data = bytearray(library.read_bytes())
    data[len(data) // 2] ^= 1
    library.write_bytes(data)


def truncate(folder: Path) -> None:
    library = folder / LIBRARY_NAME
    library.write_bytes(library.read_bytes()[:-1])


def flip_weights(folder: Path) -> None:
    weights = folder / WEIGHTS_NAME
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)


def text_library(folder: Path) -> None:
    from modeldyno.base.digests import digest_file

    (folder / LIBRARY_NAME).write_text("no library\n")
    edited(library_bytes=11, library_digest=digest_file(folder / LIBRARY_NAME))(folder)


OTHER = "x86_64" if host_facts().architecture != "x86_64" else "aarch64"
DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a flipped bit in the weights": (flip_weights, r"weights\.bin is damaged: its digest"),
    "longer weights": (
        lambda folder: (folder / WEIGHTS_NAME).write_bytes((folder / WEIGHTS_NAME).read_bytes() + b"0"),
        r"weights\.bin is damaged: \d+ bytes, the manifest says \d+",
    ),
    "no weights": (lambda folder: (folder / WEIGHTS_NAME).unlink(), r"cannot read weights\.bin"),
    "a flipped bit": (flip, "its digest is not the manifest's"),
    "a cut library": (truncate, r"is damaged: \d+ bytes, the manifest says \d+"),
    "no library": (lambda folder: (folder / LIBRARY_NAME).unlink(), r"model\.so is missing"),
    "no manifest": (
        lambda folder: (folder / MANIFEST_NAME).unlink(),
        "is no artifact: cannot read manifest.json",
    ),
    "no folder": (shutil.rmtree, "is no artifact"),
    "a cut manifest": (lambda f: (f / MANIFEST_NAME).write_text('{"schema_version": 1,'), "is damaged"),
    "a manifest without a key": (
        lambda f: (f / MANIFEST_NAME).write_text('{"schema_version": 1}'),
        "is damaged: .*required",
    ),
    "a manifest that is a list": (lambda f: (f / MANIFEST_NAME).write_text("[]"), "is damaged"),
    "a newer schema": (
        edited(schema_version=99, new_key=1),
        r"has schema_version 99, this modeldyno reads \d+: update",
    ),
    "a changed letter in the manifest": (edit_unsealed, "is damaged or was edited: its digest"),
    "another architecture": (
        edited(target__triple=f"{OTHER}-linux-gnu"),
        f"was compiled for {OTHER}.*this machine is",
    ),
    "a CPU feature that is not here": (
        edited(target__features=["sse4_2", "avx1024"]),
        "needs CPU features that this machine lacks: .*avx1024: compile it again for the target host",
    ),
    "a library that is none": (text_library, "can't be loaded"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_cannot_run_here_says_why(copy: Path, name: str) -> None:
    damage, message = DAMAGE[name]
    damage(copy)
    with pytest.raises(ArtifactError, match=message) as caught:
        open_session(copy, 1)
    assert str(copy) in str(caught.value)


def test_a_whole_artifact_opens(copy: Path) -> None:
    assert open_artifact(copy, host_facts()).model == "mlp.onnx"


def test_an_unknown_key_of_this_schema_is_damage(copy: Path) -> None:
    edited(surprise=1)(copy)
    with pytest.raises(ArtifactError, match="surprise"):
        open_session(copy, 1)


def test_missing_features_come_in_the_codes_order() -> None:
    assert missing_features(["c", "a", "b"], ["a"]) == ("c", "b")
