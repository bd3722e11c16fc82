"""A bundle: one archive with an artifact and all that runs it on a machine with Python and numpy.

    NAME/run.py  README.md      the command, and how to use it
    NAME/artifact/              manifest.json, model.so, weights.bin, or manifest.json and segments
    NAME/lib/                   modeldyno/{base,runtime}, tvm_ffi, TVM's runtime library;
                                licenses/ of what is not ours

Our modules go in as they are; `base/records/plain_models.py` goes in as `fields.py`, in place of pydantic.
The same input gives the same archive, byte for byte. ONNX Runtime, which a model with segments for it needs,
does not go in: it comes as packages of its own for each processor and Python.
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
from importlib.metadata import Distribution, distributions
from importlib.util import MAGIC_NUMBER, source_hash
from pathlib import Path
from typing import BinaryIO, cast

from modeldyno.base.errors import ArtifactError, ConfigError
from modeldyno.base.files import STDOUT, staged_file
from modeldyno.runtime.records.manifest import LIBRARY_NAME, Manifest
from modeldyno.runtime.records.manifest_file import read_manifest
from modeldyno.runtime.tools.bundle_modules import bundle_modules
from modeldyno.runtime.tools.bundle_texts import ENTRY, needed_packages, readme
from modeldyno.runtime.tools.parts import checked_files
from modeldyno.runtime.tvm_light import CUDA_LIBRARY, EXTRA_LIBRARY, RUNTIME_LIBRARY, runtime_library

SUFFIXES = (".tar.gz", ".tgz")
# There is no pydantic where a bundle runs: its file of what records are made of is the plain one.
_IN_PLACE_OF = {"base/records/fields.py": "base/records/plain_models.py"}
# (lib/libtvm_ffi_testing.so has to stay: the extension module is linked to it.)
_UNUSED = re.compile(r"tvm_ffi/(3rdparty|cython|include|share|src|stub|testing)/")
_LICENSE = re.compile(r"\.dist-info/(licenses/)?.*(LICENSE|NOTICE|COPYING)[^/]*$")
_EXTENSION = re.compile(r"core\.cpython-(3)(\d+)-([a-z0-9_]+)-linux-gnu\.so$")
Entry = tuple[str, Path | bytes]


@dataclass(frozen=True)
class Bundle:
    """What was written."""

    path: Path
    bytes: int
    artifact_bytes: int
    lib_bytes: int  # unpacked
    needs: tuple[str, ...] = ()  # what must be installed there beside numpy


def write_bundle(artifact: Path, output: Path, packages: Path | None = None) -> Bundle:
    """Pack `artifact` into `output`, a .tar.gz or stdout, with the runtime of this machine.

    `packages` is a folder with apache-tvm and apache-tvm-ffi for another architecture or version of Python.

    Raises:
        ArtifactError: the artifact is damaged, or for another architecture than the runtime's libraries.
        ConfigError: `output` is named otherwise. OutputError: it can't be written.
    """
    name = "bundle" if output == STDOUT else _folder_name(output)
    manifest = read_manifest(artifact)
    if manifest.weights and manifest.weights.up:
        whole = artifact.joinpath(*[".."] * manifest.weights.up).resolve()
        raise ArtifactError(f"{artifact} is a part of {whole}, which has its weights: bundle that")
    parts = list(checked_files(artifact, manifest))
    _check_architecture(artifact, manifest, packages)
    packed: list[Entry] = [(f"artifact/{part}", artifact / part) for part in parts]
    extra = any(_calls_extra(artifact / part) for part in parts)
    lib: list[Entry] = [(f"lib/{place}", content) for place, content in library_files(packages, extra=extra)]
    if manifest.target.kind == "cuda":
        lib.append((f"lib/modeldyno/runtime/{CUDA_LIBRARY}", _tvm_library(packages, CUDA_LIBRARY)))
    python, _ = _made_for(packages)
    texts: list[Entry] = [("run.py", ENTRY.encode()), ("README.md", readme(manifest, name, python).encode())]
    with staged_file(output) as stream:
        _write_archive(stream, [(f"{name}/{place}", content) for place, content in (*texts, *lib, *packed)])
        size = stream.seek(0, io.SEEK_END)
    return Bundle(output, size, manifest.bytes, sum(map(_size, lib)), needed_packages(manifest))


def _folder_name(output: Path) -> str:
    suffix = next((suffix for suffix in SUFFIXES if output.name.endswith(suffix)), None)
    if suffix is None:
        raise ConfigError(f"{output}: a bundle's name ends in {' or '.join(SUFFIXES)}")
    name = re.sub(r"[^A-Za-z0-9._-]", "_", output.name.removesuffix(suffix)).lstrip(".")
    return name or "bundle"


def _check_architecture(artifact: Path, manifest: Manifest, packages: Path | None) -> None:
    wanted, (_, found) = manifest.target.triple.split("-", 1)[0], _made_for(packages)
    if wanted != found:
        raise ArtifactError(
            f"{artifact} was compiled for {wanted}, and the runtime's libraries here are for {found}: "
            f"make it on a {wanted} machine, or give `packages` a folder into which "
            f"`pip install --target` with `--platform` has put apache-tvm and apache-tvm-ffi for {wanted}"
        )


def _made_for(packages: Path | None) -> tuple[str, str]:
    """Give the Python version and the architecture that tvm_ffi's library is for."""
    if packages is None:
        return ".".join(platform.python_version_tuple()[:2]), platform.machine().replace("arm64", "aarch64")
    for path in packages.glob("tvm_ffi/core.*.so"):
        if found := _EXTENSION.search(path.name):
            return f"{found[1]}.{found[2]}", found[3]
    raise ConfigError(f"{packages} has no package apache-tvm-ffi for Linux (tvm_ffi/core.cpython-….so)")


def library_files(packages: Path | None = None, *, extra: bool = False) -> Iterator[Entry]:
    """All that goes into `lib`: names there, and files or contents.

    `packages` is where other packages than those installed are taken from; `extra` asks for TVM's second
    library.
    """
    here = _made_for(None)[0]
    entries = _library_files(packages, extra=extra)
    yield from _with_bytecode(entries) if _made_for(packages)[0] == here else entries


def _calls_extra(file: Path) -> bool:
    """Whether a library calls functions of TVM's second library, by their names in it."""
    return file.name == LIBRARY_NAME and b"tvm.contrib." in file.read_bytes()


def _library_files(packages: Path | None, *, extra: bool) -> Iterator[Entry]:
    rooms = Path(__file__).parents[2]
    yield "modeldyno/__init__.py", b""  # the installed one offers what a bundle does not hold
    for path in bundle_modules(rooms):
        yield f"modeldyno/{path}", (rooms / _IN_PLACE_OF.get(path, path)).read_bytes()
    yield f"modeldyno/runtime/{RUNTIME_LIBRARY}", _tvm_library(packages, RUNTIME_LIBRARY)
    if extra:
        yield f"modeldyno/runtime/{EXTRA_LIBRARY}", _tvm_library(packages, EXTRA_LIBRARY)
    yield from _package("apache-tvm-ffi", "tvm_ffi/", packages)
    yield from _package("typing_extensions", "typing_extensions.py")
    yield from _licenses(_installed("apache-tvm", packages))


def _tvm_library(packages: Path | None, name: str) -> Path:
    library = runtime_library(name) if packages is None else packages / "tvm" / "lib" / name
    if not library.is_file():
        raise ConfigError(f"{packages} has no package apache-tvm for Linux ({library} is missing)")
    return library


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


def _package(name: str, prefix: str, packages: Path | None = None) -> Iterator[Entry]:
    """Give a package's modules and libraries, its metadata (tvm_ffi finds its library by it) and licenses."""
    found = _installed(name, packages)
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


def _installed(name: str, packages: Path | None = None) -> Distribution:
    found = next(iter(distributions(name=name, path=sys.path if packages is None else [str(packages)])), None)
    if found is None:
        lacks = f"{packages} does not hold" if packages else "is not installed"
        raise ArtifactError(f"a bundle needs the package {name}, which {lacks}")
    return found


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
