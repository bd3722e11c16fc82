"""A bundle: one archive with an artifact and all that runs it on a machine with Python and numpy.

    NAME/run.py  README.md      the command, and how to use it
    NAME/artifact/              manifest.json, model.so, weights.bin, or manifest.json and segments
    NAME/lib/                   our runtime, tvm_ffi and TVM's runtime library; licenses/ of what is not ours

Our modules go in as they are, but for pydantic: `dyno.plain_models` stands in for it. The same input gives
the same archive, byte for byte. ONNX Runtime, which a model with segments for it needs, does not go in: it
comes as packages of its own for each processor and Python.
"""

from __future__ import annotations

import gzip
import io
import marshal
import platform
import re
import sys
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import MAGIC_NUMBER, source_hash
from pathlib import Path
from typing import BinaryIO, cast

from dyno.errors import ArtifactError, ConfigError
from dyno.files import staged_file
from runtime.artifact import check_library
from runtime.bundle_texts import ENTRY, needed_packages, readme
from runtime.manifest import LIBRARY_NAME, MANIFEST_NAME, WEIGHTS_NAME, Manifest, read_manifest
from runtime.memory import map_weights
from runtime.tvm_light import EXTRA_LIBRARY, runtime_library

SUFFIXES = (".tar.gz", ".tgz")
DYNO_MODULES = ("__init__", "errors", "files", "host", "plain_models", "records", "units")
RUNTIME_MODULES = (
    *("__init__", "artifact", "feeds", "inference", "lane"),
    *("manifest", "memory", "onnx_segment", "segments", "session", "tvm_light"),
)
# (lib/libtvm_ffi_testing.so has to stay: the extension module is linked to it.)
_UNUSED = re.compile(r"tvm_ffi/(3rdparty|cython|include|share|src|stub|testing)/")
_LICENSE = re.compile(r"\.dist-info/(licenses/)?.*(LICENSE|NOTICE|COPYING)[^/]*$")
_PYDANTIC = re.compile(r"^(\s*)from pydantic import ", re.MULTILINE)
Entry = tuple[str, Path | bytes]


@dataclass(frozen=True)
class Bundle:
    """What was written."""

    path: Path
    bytes: int
    artifact_bytes: int
    lib_bytes: int  # unpacked
    needs: tuple[str, ...] = ()  # what must be installed there beside numpy


def write_bundle(artifact: Path, output: Path) -> Bundle:
    """Pack `artifact` into `output`, a .tar.gz, with the runtime of this machine.

    Raises:
        ArtifactError: the artifact is damaged, or not for this machine's architecture.
        ConfigError: `output` is named otherwise. OutputError: it can't be written.
    """
    name = _folder_name(output)
    manifest = read_manifest(artifact)
    parts = list(_checked_parts(artifact, manifest))
    _check_architecture(artifact, manifest)
    packed: list[Entry] = [(f"artifact/{part}", artifact / part) for part in parts]
    files = _library_files(extra=any(_calls_extra(artifact / part) for part in parts))
    lib: list[Entry] = [(f"lib/{place}", content) for place, content in _with_bytecode(files)]
    texts: list[Entry] = [("run.py", ENTRY.encode()), ("README.md", readme(manifest, name).encode())]
    with staged_file(output) as stream:
        _write_archive(stream, [(f"{name}/{place}", content) for place, content in (*texts, *lib, *packed)])
    return Bundle(
        output, output.stat().st_size, manifest.bytes, sum(map(_size, lib)), needed_packages(manifest)
    )


def _checked_parts(artifact: Path, manifest: Manifest) -> Iterator[str]:
    """Give the files of an artifact, and of those in it, each compared with its digest."""
    check_library(artifact, manifest)
    yield MANIFEST_NAME
    for segment in manifest.segments:
        if segment.is_compiled:
            inner = artifact / segment.path
            yield from (f"{segment.path}/{part}" for part in _checked_parts(inner, read_manifest(inner)))
        else:
            yield segment.path
    if not manifest.segments:
        yield LIBRARY_NAME
    if manifest.weights:
        map_weights(artifact / WEIGHTS_NAME, manifest.weights)
        yield WEIGHTS_NAME


def _folder_name(output: Path) -> str:
    suffix = next((suffix for suffix in SUFFIXES if output.name.endswith(suffix)), None)
    if suffix is None:
        raise ConfigError(f"{output}: a bundle's name ends in {' or '.join(SUFFIXES)}")
    name = re.sub(r"[^A-Za-z0-9._-]", "_", output.name.removesuffix(suffix)).lstrip(".")
    return name or "bundle"


def _check_architecture(artifact: Path, manifest: Manifest) -> None:
    made_for, here = manifest.target.triple.split("-", 1)[0], platform.machine().replace("arm64", "aarch64")
    if made_for != here:
        raise ArtifactError(
            f"{artifact} was compiled for {made_for}, and a bundle takes the runtime's libraries from the "
            f"machine it is made on, which is {here}: make it on a {made_for} machine"
        )


def _calls_extra(file: Path) -> bool:
    """Whether a library calls functions of TVM's second library, by their names in it."""
    return file.name == LIBRARY_NAME and b"tvm.contrib." in file.read_bytes()


def _library_files(*, extra: bool) -> Iterator[Entry]:
    """All that goes into `lib`: names there, and files or contents."""
    root = Path(__file__).parent.parent
    for package, modules in (("dyno", DYNO_MODULES), ("runtime", RUNTIME_MODULES)):
        for module in modules:
            text = (root / package / f"{module}.py").read_text()
            yield f"{package}/{module}.py", _PYDANTIC.sub(r"\1from dyno.plain_models import ", text).encode()
    library = runtime_library()
    yield f"runtime/{library.name}", library
    if extra:
        yield f"runtime/{EXTRA_LIBRARY}", library.with_name(EXTRA_LIBRARY)
    yield from _package("apache-tvm-ffi", "tvm_ffi/")
    yield from _package("typing_extensions", "typing_extensions.py")
    yield from _licenses(_installed("apache-tvm"))


def _with_bytecode(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Give the modules in compiled form too: a bundle may lie where Python can't write it.

    Python compares them with their sources by hash, so an edit is still seen.
    """
    for place, content in entries:
        yield place, content
        if place.endswith(".py"):
            source = content if isinstance(content, bytes) else content.read_bytes()
            folder, _, module = place.rpartition("/")
            cached = f"__pycache__/{module.removesuffix('.py')}.{sys.implementation.cache_tag}.pyc"
            yield f"{folder}/{cached}".lstrip("/"), _bytecode(source, place)


def _bytecode(source: bytes, place: str) -> bytes:
    checked_hash = (3).to_bytes(4, "little")
    code = compile(source, place, "exec", dont_inherit=True)
    # Version 2 of marshal knows no references, which would differ from one run to the next.
    return MAGIC_NUMBER + checked_hash + source_hash(source) + marshal.dumps(code, 2)


def _package(name: str, prefix: str) -> Iterator[Entry]:
    """Give a package's modules and libraries, its metadata (tvm_ffi finds its library by it) and licenses."""
    found = _installed(name)
    for path in found.files or ():
        text = str(path)
        code = text.startswith(prefix) and text.endswith((".py", ".so")) and not _UNUSED.match(text)
        if code or text.endswith((".dist-info/METADATA", ".dist-info/RECORD")):
            yield text, Path(str(found.locate_file(path)))
    yield from _licenses(found)


def _licenses(found: Distribution) -> Iterator[Entry]:
    for path in found.files or ():
        if _LICENSE.search(str(path)):
            name = found.metadata["Name"]
            yield f"licenses/{name}/{path.name}", Path(str(found.locate_file(path)))


def _installed(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError as error:
        raise ArtifactError(f"a bundle needs the package {name}, which is not installed") from error


def _size(entry: Entry) -> int:
    content = entry[1]
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _write_archive(stream: BinaryIO, entries: list[Entry]) -> None:
    """Write the entries in order of their names: no times, owners or links, and folders by their files."""
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=stream, compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=cast("BinaryIO", packed), mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, content in sorted(entries, key=lambda entry: entry[0]):
            info = tarfile.TarInfo(name)
            info.size = _size((name, content))
            info.mode = 0o755 if name.endswith("run.py") else 0o644
            source = io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")
            with source:
                archive.addfile(info, source)
