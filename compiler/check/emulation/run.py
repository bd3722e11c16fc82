"""Run an artifact under emulation: the code, the runtime and the checks that a real machine would see."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modeldyno.base.errors import ArtifactError, CompileError
from modeldyno.compiler.check.emulation.root import Emulator, Plugin
from modeldyno.compiler.model.arrays import Array
from modeldyno.runtime.records.manifest_file import read_manifest
from modeldyno.runtime.tools.bundle import library_files

Run = tuple[Path, dict[str, Array]]  # an artifact, and its inputs
LIMIT_S = 3600.0


def run_emulated(
    emulator: Emulator,
    cpu: str,
    runs: Sequence[Run],
    *,
    repeat: int = 1,
    plugin: Plugin | None = None,
) -> list[dict[str, Array]]:
    """Run artifacts on an emulated `cpu` (QEMU's name), in one process, and give the outputs of each.

    Raises:
        ArtifactError: an artifact does not run on that processor. CompileError: its code crashed.
    """
    with tempfile.TemporaryDirectory(prefix="dyno-emulated-") as name:
        folder = Path(name)
        _lay_out(emulator, folder)
        environment = {"PYTHONPATH": str(emulator.site), "PATH": "/usr/bin", "OPENBLAS_NUM_THREADS": "1"}

        def command(arguments: Sequence[str]) -> list[str]:
            return emulator.command(cpu, ("-B", "-S", *arguments), plugin)

        return run_guest(folder, command, environment, runs, repeat=repeat, target=cpu)


def run_guest(
    folder: Path,
    command: Callable[[Sequence[str]], list[str]],
    environment: dict[str, str],
    runs: Sequence[Run],
    *,
    repeat: int = 1,
    target: str,
) -> list[dict[str, Array]]:
    """Run artifacts by guest.py in a process of its own, and give the outputs of each.

    `command` gives the Python that takes these arguments; `folder` gets the script, inputs and outputs.

    Raises:
        ArtifactError: an artifact does not run there. CompileError: its code crashed.
    """
    shutil.copyfile(Path(__file__).with_name("guest.py"), folder / "guest.py")
    manifests = [read_manifest(artifact) for artifact, _ in runs]
    for number, (manifest, (_, feeds)) in enumerate(zip(manifests, runs, strict=True)):
        (folder / str(number)).mkdir()
        for place, spec in enumerate(manifest.inputs):
            np.save(folder / str(number) / f"{place}.npy", feeds[spec.name], allow_pickle=False)
    artifacts = [str(artifact.absolute()) for artifact, _ in runs]
    _call(
        command((str(folder / "guest.py"), str(folder), str(repeat), *artifacts)), target, folder, environment
    )
    return [
        {
            spec.name: np.load(folder / str(number) / f"out{place}.npy", allow_pickle=False)
            for place, spec in enumerate(manifest.outputs)
        }
        for number, manifest in enumerate(manifests)
    ]


@dataclass(frozen=True)
class EmulatedSession:
    """An artifact on an emulated processor, with the `run` of a session."""

    emulator: Emulator
    cpu: str
    artifact: Path

    @property
    def name(self) -> str:
        """What its results come from."""
        return f"emulated: {self.emulator.name} as {self.cpu.partition(',')[0]}"

    def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """Run one inference; see `run_emulated`."""
        return self.run_all([feeds])[0]

    def run_all(self, feeds: Sequence[dict[str, Array]]) -> list[dict[str, Array]]:
        """Run several inferences in one process."""
        return run_emulated(self.emulator, self.cpu, [(self.artifact, each) for each in feeds])


def _lay_out(emulator: Emulator, folder: Path) -> None:
    """Lay out what a bundle for its architecture has in `lib`."""
    for place, content in library_files(emulator.site):
        path = folder / "lib" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())


def _call(command: list[str], target: str, folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT_S
    )
    if not done.returncode:
        return
    said = done.stderr.strip().splitlines()
    refused = next((line for line in said if line.startswith("error: ")), None)
    if refused:
        raise ArtifactError(refused.removeprefix("error: "))
    number = -done.returncode if done.returncode < 0 else done.returncode - 128
    known = number in set(signal.Signals)
    how = f"ended by {signal.Signals(number).name}" if known else f"status {done.returncode}"
    raise CompileError(
        f"the artifact crashed under emulation ({how}): {said[-1] if said else 'it said nothing'}",
        stage="verify",
        target=target,
    )
