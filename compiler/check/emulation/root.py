"""The emulator: QEMU, and a small ARM system with Python, numpy and TVM's runtime, in one cache folder.

`python -m modeldyno.compiler.check.emulation.prepare` makes it; nothing is downloaded unasked.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from modeldyno.base.host.cache_folder import cache_folder
from modeldyno.base.host.packages import installed
from modeldyno.base.records.record import Record
from modeldyno.compiler.targets.catalog import CompileTarget

SCHEMA_VERSION = 1
RECORD_NAME = "emulator.json"
QEMU, SYSTEM, SITE = "qemu", "system", "site"  # folders: QEMU's own, the ARM system's, its Python packages
RUNTIME_PACKAGES = ("apache-tvm", "apache-tvm-ffi", "numpy")
PREPARE = "python -m modeldyno.compiler.check.emulation.prepare"
_FOLDER_VARIABLE = "DYNO_EMULATOR"
# What QEMU calls the processor. Before version 8.1 it has no Neoverse V1 and V2 of its own: `max` has all
# that they have. SVE is off, as in the presets: should LLVM make such an instruction, it is found here.
_MODELS = {
    "cortex-a72": "cortex-a72",
    "cortex-a76": "cortex-a76",
    "neoverse-n1": "neoverse-n1",
    "neoverse-v1": "max,sve=off,pauth-impdef=on",
    "neoverse-v2": "max,sve=off,pauth-impdef=on",
}


Plugin = tuple[Path, Path]  # QEMU's plugin, and the file that it writes to


class Package(Record):
    """One package that was unpacked into the folder."""

    name: str
    version: str
    file: str
    sha256: str


class EmulatorRecord(Record):
    """`emulator.json`, written last: a folder without it is not whole."""

    schema_version: int = SCHEMA_VERSION
    created_at: str
    qemu_version: str
    python: str = Field(description="of the ARM system, e.g. 3.11")
    packages: tuple[Package, ...]


@dataclass(frozen=True)
class Emulator:
    """A prepared folder."""

    folder: Path
    record: EmulatorRecord

    @property
    def site(self) -> Path:
        """Where the ARM system's Python packages lie."""
        return self.folder / SITE

    @property
    def name(self) -> str:
        """What results should be said to come from."""
        upstream = re.sub(r"^\d+:|[+-].*", "", self.record.qemu_version)
        return f"qemu-user {upstream}"

    def command(self, cpu: str, arguments: tuple[str, ...], plugin: Plugin | None = None) -> list[str]:
        """Give the command that runs the ARM system's Python on an emulated `cpu`."""
        system = self.folder / SYSTEM
        counted = ["-plugin", str(plugin[0]), "-d", "plugin", "-D", str(plugin[1])] if plugin else []
        python = str(system / "usr" / "bin" / f"python{self.record.python}")
        return [*self._qemu(), "-cpu", cpu, *counted, "-L", str(system), python, *arguments]

    def _qemu(self) -> list[str]:
        """QEMU comes with the libraries that it was built with: those of this machine may be others."""
        root = self.folder / QEMU
        program = root / "usr" / "bin" / "qemu-aarch64"
        loader = root / "lib" / "x86_64-linux-gnu" / "ld-linux-x86-64.so.2"
        if not loader.is_file():
            return [str(program)]
        places = (root / "lib" / "x86_64-linux-gnu", root / "usr" / "lib" / "x86_64-linux-gnu")
        return [str(loader), "--library-path", ":".join(map(str, places)), str(program)]


def cpu_model(target: CompileTarget) -> str | None:
    """Give QEMU's name of the processor that `target` is for; None where it emulates none for it."""
    return _MODELS.get(target.name)


def emulator_folder() -> Path:
    """Where the emulator is, or would be: $DYNO_EMULATOR, or a folder of the user's cache."""
    if given := os.environ.get(_FOLDER_VARIABLE):
        return Path(given)
    return cache_folder() / "emulator-aarch64"


def find_emulator(folder: Path | None = None) -> Emulator | None:
    """Give the prepared emulator; None where there is none, or it has another TVM than this Python."""
    place = (folder or emulator_folder()).absolute()
    try:
        record = EmulatorRecord.model_validate_json((place / RECORD_NAME).read_bytes())
    except (OSError, ValidationError):
        return None
    have = {package.name: package.version for package in record.packages}
    fitting = record.schema_version == SCHEMA_VERSION and all(
        have.get(name) == installed(name) for name in RUNTIME_PACKAGES
    )
    return Emulator(place, record) if fitting else None
