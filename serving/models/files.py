"""What a path holds, as a look at the file system tells: nothing heavy is imported for it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from modeldyno.base.errors import ArtifactError, ModelError

Kind = Literal["artifact", "code", "onnx"]
MANIFEST = "manifest.json"
SCRIPTS = ("code/inference.py", "inference.py")
_ZIP_MAGIC = b"PK\x03\x04"


def model_kind(path: Path) -> Kind:
    """Say what kind of model `path` holds.

    Raises:
        ModelError: nothing is there, or the file can't be an ONNX model.
        ArtifactError: a folder that is no artifact.
    """
    if not path.is_dir():
        check_onnx_file(path)
        return "onnx"
    if find_script(path) is not None:
        return "code"
    if not (path / MANIFEST).is_file():
        raise ArtifactError(
            f"{path} is no artifact: it has no {MANIFEST}; `dyno compile` makes one "
            f"(nor is it user code: it has no {' and no '.join(SCRIPTS)})"
        )
    return "artifact"


def check_onnx_file(path: Path) -> None:
    """Refuse what can't be an ONNX model.

    Raises:
        ModelError: the file can't be read, is empty, or is an archive.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(len(_ZIP_MAGIC))
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from error
    if not head:
        raise ModelError(f"{path} is empty: expected an ONNX model or an artifact folder")
    if head == _ZIP_MAGIC:
        raise ModelError(f"{path} is a zip file (torch.export?), no ONNX model: `dyno compile` it first")


def find_script(folder: Path) -> Path | None:
    """Return the script of user code in a folder, or None."""
    return next((folder / name for name in SCRIPTS if (folder / name).is_file()), None)
