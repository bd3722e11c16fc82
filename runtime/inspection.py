"""What an artifact is, without loading it: its manifest in short, and whether its files are whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dyno.errors import ArtifactError
from dyno.records import HostFacts, TensorSpec
from dyno.units import BYTES_PER_MIB
from runtime.artifact import check_host, check_library, digest_file
from runtime.manifest import WEIGHTS_NAME, Manifest, read_manifest

Row = tuple[str, str]


@dataclass(frozen=True)
class Inspection:
    """A manifest, and why its files (`damage`) or this machine (`unfit`) are not what it asks for."""

    manifest: Manifest
    damage: str | None
    unfit: str | None

    @property
    def gflop(self) -> float | None:
        """Useful operations of an inference in 10^9; None when no kernel's were counted."""
        counted = [
            kernel.calls * kernel.flops for kernel in self.manifest.kernels if kernel.flops is not None
        ]
        return sum(counted) / 1e9 if counted else None

    @property
    def calls(self) -> int:
        """Calls of kernels in an inference."""
        return sum(kernel.calls for kernel in self.manifest.kernels)

    @property
    def compile_s(self) -> float:
        """Seconds of all stages."""
        return sum(stage.seconds for stage in self.manifest.stages)

    def facts(self) -> dict[str, Any]:
        """For machines: the manifest, its weights and kernels summed up."""
        weights = self.manifest.weights
        return {
            **self.manifest.model_dump(mode="json", exclude={"weights", "kernels", "peak"}),
            "weights_bytes": weights.bytes if weights else 0,
            "weights_digest": weights.digest if weights else None,
            "bytes": self.manifest.bytes,
            "kernels": len(self.manifest.kernels),
            "kernel_calls": self.calls,
            "gflop": self.gflop,
            "compile_s": round(self.compile_s, 3),
            "damage": self.damage,
            "unfit": self.unfit,
        }

    def rows(self) -> list[Row]:
        """For a person: name and value, a line each."""
        manifest, target = self.manifest, self.manifest.target
        weights = manifest.weights.bytes if manifest.weights else 0
        gflop = "not counted" if self.gflop is None else f"{self.gflop:.3g} GFLOP an inference"
        return [
            ("model", f"{manifest.model} by {manifest.frontend}, digest {manifest.source_digest[:16]}…"),
            ("made", f"{manifest.created_at}, schema {manifest.schema_version}"),
            ("target", f"{target.name}: {target.triple}, {target.cpu}"),
            ("needs", ", ".join(target.features) or "no CPU features beyond the triple's"),
            ("precision", manifest.precision),
            *[("input", _tensor(spec)) for spec in manifest.inputs],
            *[("output", _tensor(spec)) for spec in manifest.outputs],
            ("size", f"{_mib(manifest.bytes)}, of which weights {_mib(weights)}"),
            ("kernels", f"{len(manifest.kernels)}, called {self.calls} times; {gflop}"),
            *_parity(manifest),
            ("options", ", ".join(f"{name}={value}" for name, value in manifest.options.items()) or "-"),
            ("toolchain", ", ".join(f"{name} {version}" for name, version in manifest.toolchain.items())),
            ("compile", f"{self.compile_s:.1f} s; longest: {_longest(manifest)}"),
            ("files", self.damage or "whole: every digest is the manifest's"),
            ("this machine", self.unfit or "has what the code needs"),
        ]


def inspect_artifact(folder: Path, host: HostFacts) -> Inspection:
    """Read the manifest, check every file's digest, and see whether `host` has what the code needs.

    No code of the artifact is loaded, so one that is made for another machine can be looked at too.

    Raises:
        ArtifactError: there is no readable manifest of a known schema.
    """
    manifest = read_manifest(folder)
    damage = _reason(lambda: _check_files(folder, manifest))
    return Inspection(manifest, damage, _reason(lambda: check_host(folder, manifest, host)))


def _check_files(folder: Path, manifest: Manifest) -> None:
    check_library(folder, manifest)
    if manifest.weights is None:
        return
    path = folder / WEIGHTS_NAME
    try:
        found = digest_file(path)
    except OSError as error:
        raise ArtifactError(f"{path} can't be read: {error.strerror}; copy or compile it again") from error
    if found != manifest.weights.digest:
        raise ArtifactError(f"{path} is damaged: its digest is not the manifest's; copy or compile it again")


def _reason(check: Callable[[], None]) -> str | None:
    try:
        check()
    except ArtifactError as error:
        return str(error)
    return None


def _mib(size: int) -> str:
    return f"{size / BYTES_PER_MIB:.1f} MiB"


def _tensor(spec: TensorSpec) -> str:
    return f"{spec.name}: {spec.dtype} [{', '.join(str(size) for size in spec.shape)}]"


def _parity(manifest: Manifest) -> list[Row]:
    report = manifest.parity
    if report is None:
        return [("parity", "not checked")]
    return [
        (
            "parity",
            f"{row.output}: max abs {row.max_abs:.1e}, max rel {row.max_rel:.1e} "
            f"(held to {report.tolerance_max_rel:.0e}), cosine {row.cosine:.7f}, against {report.reference}",
        )
        for row in report.outputs
    ]


def _longest(manifest: Manifest) -> str:
    stages = sorted(manifest.stages, key=lambda stage: -stage.seconds)[:3]
    return ", ".join(f"{stage.stage} {stage.seconds:.1f} s" for stage in stages)
