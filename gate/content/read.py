"""From a path to its content: which kind it is, as `dyno serve` tells them apart."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from modeldyno.base.digests import digest_file, digest_files
from modeldyno.base.errors import ConfigError
from modeldyno.gate.content.artifacts import artifact_content
from modeldyno.gate.content.folders import folder_content
from modeldyno.gate.content.records import Content
from modeldyno.gate.content.saved import read_saved
from modeldyno.runtime.records.manifest import MANIFEST_NAME
from modeldyno.serving.models.files import SCRIPTS, find_script, model_kind

WHAT_A_SIDE_IS = (
    "expected an .onnx file, an artifact folder, a folder with an inference.py, a URL, "
    "the result file of a `dyno load` or a `dyno gate`, or the name of a baseline"
)
_ZIP_MAGIC = b"PK\x03\x04"


def content_of(path: Path) -> Content:
    """Read what stands at `path`: every file of it, once.

    Raises:
        ConfigError: nothing is there, or nothing that can stand on a side of a gate.
        ModelError, ArtifactError: it is a model or an artifact that is damaged.
    """
    try:
        return _folder(path) if path.is_dir() else _file(path)
    except OSError as error:
        raise ConfigError(f"cannot read {error.filename or path}: {error.strerror or error}") from error


def _file(path: Path) -> Content:
    if not path.is_file():
        what = "is no file and no folder" if path.exists() else "does not exist"
        raise ConfigError(f"{path} {what}", hint=WHAT_A_SIDE_IS)
    with path.open("rb") as stream:
        head = stream.read(64)
    if head.lstrip()[:1] in (b"{", b"["):
        return _saved(path)
    if path.suffix == ".pt2":
        raise ConfigError(
            f"{path} is a model of torch.export, which nothing serves as it is",
            hint=f"`dyno compile {path} -o artifact` makes an artifact of it: name that",
        )
    if head.startswith(_ZIP_MAGIC):
        raise ConfigError(
            f"{path} is a zip file, no ONNX model",
            hint="a model of torch.export is compiled first (`dyno compile`), and the artifact named here",
        )
    return _model(path)


def _folder(path: Path) -> Content:
    if find_script(path) is None and not (path / MANIFEST_NAME).is_file():
        raise ConfigError(
            f"{path} is a folder with no {MANIFEST_NAME} and no {' and no '.join(SCRIPTS)}",
            hint=WHAT_A_SIDE_IS,
        )
    return artifact_content(path) if model_kind(path) == "artifact" else folder_content(path)


def _model(path: Path) -> Content:
    from modeldyno.compiler.frontends.onnx.weights import external_files  # here: it imports onnxruntime

    model_kind(path)  # what no server would read
    files = external_files(path)
    beside = f", weights in {len(files)} file{'s' if len(files) > 1 else ''} beside it" if files else ""
    return Content(
        kind="model",
        path=path,
        digest=digest_files([path, *files.values()]),
        detail=f"{path.name}, served by ONNX Runtime{beside}",
        files=(
            (PurePosixPath(path.name), path),
            *((PurePosixPath(name), file) for name, file in files.items()),
        ),
        served=PurePosixPath(path.name),
    )


def _saved(path: Path) -> Content:
    run = read_saved(path)
    return Content(
        kind="saved run",
        path=path,
        digest=digest_file(path),
        detail=f"numbers of {run.taken_at} on {run.host.cpu_model}",
        files=((PurePosixPath(path.name), path),),
        served=PurePosixPath(path.name),
    )
