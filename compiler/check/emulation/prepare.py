"""Prepare the emulator: `python -m modeldyno.compiler.check.emulation.prepare`.

QEMU and the ARM system are Debian's packages, taken with apt from where this machine takes its own, into
lists and caches of their own: nothing is installed, and no privileges are needed. apt checks signatures, and
pip the digests of the wheels, whose versions are those installed here; the record keeps the SHA-256 of all.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from modeldyno.base.clock import utc_now
from modeldyno.base.errors import ConfigError, DynoError
from modeldyno.base.files import staged_folder, write_text
from modeldyno.base.host.packages import installed
from modeldyno.base.process.procs import python_module
from modeldyno.compiler.check.emulation.root import (
    QEMU,
    RECORD_NAME,
    RUNTIME_PACKAGES,
    SITE,
    SYSTEM,
    Emulator,
    EmulatorRecord,
    Package,
    emulator_folder,
    find_emulator,
)

_HOST, _GUEST = "amd64", "arm64"
_GUEST_PACKAGES = ("libstdc++6", "libgcc-s1", "zlib1g")  # beside Python: what numpy and TVM are linked to
_PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_24", "manylinux_2_17", "manylinux2014")
# The compiler in TVM's wheel is 240 MB that nothing here runs.
_UNUSED = re.compile(r"tvm/(?!lib/libtvm_runtime\.so$)|.*/tests/")


def prepare(folder: Path) -> EmulatorRecord:
    """Make the emulator's folder, replacing what stood there; whole or not at all.

    Raises:
        ConfigError: this machine has no apt, or a download failed.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise ConfigError(
                f"{tool} was not found: the emulator is made of Debian's packages, so this works on Debian "
                "and what is built on it; elsewhere point DYNO_EMULATOR at a folder that was made there"
            )
    with staged_folder(folder) as stage, tempfile.TemporaryDirectory(prefix="dyno-emulator-") as work:
        qemu = _debian(Path(work) / _HOST, _HOST, ("qemu-user",), stage / QEMU)
        guest = Path(work) / _GUEST
        python = _python_version(guest)
        names = (f"python{python}-minimal", f"libpython{python}-stdlib", *_GUEST_PACKAGES)
        packages = [*qemu, *_debian(guest, _GUEST, names, stage / SYSTEM)]
        packages += _wheels(Path(work) / "wheels", python, stage / SITE)
        record = EmulatorRecord(
            created_at=utc_now(),
            qemu_version=next(package.version for package in qemu if package.name == "qemu-user"),
            python=python,
            packages=tuple(packages),
        )
        _try(Emulator(stage, record))
        write_text(stage / RECORD_NAME, record.model_dump_json(indent=2) + "\n")
    return record


def _debian(work: Path, architecture: str, names: Sequence[str], into: Path) -> list[Package]:
    """Download packages and all that they depend on, and unpack them into a folder."""
    _apt(work, architecture, "update")
    _apt(work, architecture, "install", "--download-only", "--no-install-recommends", "--yes", *names)
    found = []
    for file in sorted((work / "cache" / "archives").glob("*.deb")):
        name, version, _ = file.name.split("_", 2)
        found.append(Package(name=name, version=unquote(version), file=file.name, sha256=_sha256(file)))
        _tool(["dpkg-deb", "--extract", str(file), str(into)])
    for place in ("lib", "lib64"):  # newer releases keep all below /usr, and make these links at installation
        if (into / "usr" / place).is_dir() and not (into / place).exists():
            (into / place).symlink_to(f"usr/{place}")
    return found


def _apt(work: Path, architecture: str, *arguments: str, tool: str = "apt-get") -> str:
    """Run apt as if for an empty machine of that architecture: its state and caches lie in `work`."""
    for place in ("lists/partial", "cache/archives/partial"):
        (work / place).mkdir(parents=True, exist_ok=True)
    (work / "status").touch()
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "",  # the folder is ours: apt need not become another user to write there
        "Dir::State::lists": str(work / "lists"),
        "Dir::State::status": str(work / "status"),
        "Dir::Cache": str(work / "cache"),
        "Debug::NoLocking": "true",
    }
    options = [text for name, value in settings.items() for text in ("-o", f"{name}={value}")]
    return _tool([tool, "--quiet=2", *options, *arguments])


def _python_version(work: Path) -> str:
    """Give the version of Python that the ARM system's release has."""
    _apt(work, _GUEST, "update")
    text = _apt(work, _GUEST, "depends", "python3-minimal", tool="apt-cache")
    found = re.search(r"python(3\.\d+)-minimal", text)
    if found is None:
        raise ConfigError("apt knows no Python for arm64: its sources must carry that architecture")
    return found[1]


def _wheels(work: Path, python: str, into: Path) -> list[Package]:
    """Download the packages that an artifact runs with, in the versions installed here, and unpack them."""
    wanted = [f"{name}=={installed(name)}" for name in (*RUNTIME_PACKAGES, "typing_extensions")]
    platforms = [text for name in _PLATFORMS for text in ("--platform", f"{name}_aarch64")]
    tag = "cp" + python.replace(".", "")
    _tool(
        [
            *python_module("pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
            *("--only-binary=:all:", *platforms, "--python-version", python, "--implementation", "cp"),
            *("--abi", tag, "--abi", "abi3", "--abi", "none", "--dest", str(work), *wanted),
        ]
    )
    found = []
    for file in sorted(work.glob("*.whl")):
        name, version, _ = file.name.split("-", 2)
        found.append(
            Package(name=name.replace("_", "-"), version=version, file=file.name, sha256=_sha256(file))
        )
        with zipfile.ZipFile(file) as archive:
            archive.extractall(into, [name for name in archive.namelist() if not _UNUSED.match(name)])
    return found


def _try(emulator: Emulator) -> None:
    """Import what every run imports: it works then, and the modules are compiled for all later runs."""
    code = "import argparse, ctypes, hashlib, json, numpy, tarfile, tempfile, tvm_ffi"
    _tool(emulator.command("max", ("-S", "-c", code)), {"PYTHONPATH": str(emulator.site)})


def _tool(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise ConfigError(f"{command[0]} failed: {said[-1] if said else f'status {done.returncode}'}")
    return done.stdout


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    """Prepare the emulator where there is none yet, and say where it is."""
    parser = argparse.ArgumentParser(
        prog="python -m modeldyno.compiler.check.emulation.prepare", description=__doc__
    )
    parser.add_argument("--folder", type=Path, default=emulator_folder(), help="default: %(default)s")
    parser.add_argument("--again", action="store_true", help="also where there is one")
    given = parser.parse_args()
    try:
        found = None if given.again else find_emulator(given.folder)
        record = found.record if found else prepare(given.folder)
    except DynoError as error:
        parser.exit(2, f"error: {error}\n")
    size = sum(path.stat().st_size for path in given.folder.rglob("*") if path.is_file())
    print(f"{given.folder}: qemu-user {record.qemu_version}, Python {record.python}, {size >> 20} MiB")  # noqa: T201


if __name__ == "__main__":
    main()
