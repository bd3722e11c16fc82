"""Both sides profiled in turn, each time in a process of its own, and what makes the difference."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modeldyno.base.errors import ArtifactError, ConfigError
from modeldyno.base.process.procs import Child, python_module, start
from modeldyno.base.records.gate import FieldChange, KernelChange
from modeldyno.gate.explain.fields import field_changes
from modeldyno.gate.explain.kernels import kernel_changes, settled
from modeldyno.gate.sides.record import Side
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.records.manifest_file import read_manifest
from modeldyno.runtime.tools.profile_records import Profile


@dataclass(frozen=True)
class ProfileRounds:
    """How both sides are profiled.

    rounds: processes of each side; their order alternates.
    inferences: timed in each, and as many that are observed.
    threads: inside one inference; None: usable cores.
    bucket: as `dyno profile --bucket`; None: the largest.
    limit_s: of one process; a slower one is given up.
    """

    rounds: int = 3
    inferences: int = 50
    threads: int | None = None
    bucket: str | None = None
    limit_s: float = 300.0


@dataclass(frozen=True)
class Explanation:
    """What makes the difference; `reason` says why no kernels are named, empty where they are."""

    kernels: tuple[KernelChange, ...]
    fields: tuple[FieldChange, ...]
    reason: str = ""


def explain(
    baseline: Side,
    candidate: Side,
    folder: Path,
    how: ProfileRounds | None = None,
    settings: tuple[Mapping[str, object], Mapping[str, object]] = ({}, {}),
) -> Explanation:
    """Profile both sides and compare; their logs and profiles stay in `folder`.

    `settings` are those that each was served with. Nothing is raised: what can't be profiled is the reason.
    Ctrl-C passes through, and ends the process that runs.
    """
    sides = (baseline, candidate)
    try:
        fields = field_changes(_manifest(baseline), _manifest(candidate), *settings)
    except ArtifactError as error:
        return Explanation((), (), str(error))
    strange = next((side for side in sides if side.kind != "artifact"), None)
    if strange is not None:
        return Explanation((), fields, f"{strange.reference} is no artifact: it has no kernels to be timed")
    try:
        profiles = _profiles(sides, folder, how or ProfileRounds())
    except ConfigError as error:
        return Explanation((), fields, str(error))
    kernels = kernel_changes(*(settled(profiles[side]) for side in (0, 1)))
    reason = (
        "" if kernels else "by itself the candidate's inference takes no longer: look at what is around it"
    )
    return Explanation(kernels, fields, reason)


def _manifest(side: Side) -> Manifest | None:
    return read_manifest(side.path) if side.kind == "artifact" and side.path else None


def _profiles(sides: tuple[Side, Side], folder: Path, how: ProfileRounds) -> dict[int, list[Profile]]:
    found: dict[int, list[Profile]] = {0: [], 1: []}
    for number in range(how.rounds):
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            log = folder / f"profile-{('baseline', 'candidate')[side]}-{number}.log"
            found[side].append(_profile(sides[side], log, how))
    return found


def _profile(side: Side, log: Path, how: ProfileRounds) -> Profile:
    """Run `dyno profile` once.

    Raises:
        ConfigError: it fails, or takes too long; with its last line.
    """
    args = ["profile", str(side.path), "--json", f"--repeat={how.inferences}"]
    args += [f"--threads={how.threads}"] if how.threads else []
    args += [f"--bucket={how.bucket}"] if how.bucket else []
    with start(python_module("modeldyno", *args), log=log) as child:
        code = _ended(child, how.limit_s)
    if code != 0:
        why = f"took longer than {how.limit_s:g} s" if code is None else child.log_tail(1).strip()
        raise ConfigError(f"{side.reference} can't be profiled: {why}")
    before, brace, text = log.read_text(encoding="utf-8", errors="replace").partition("{\n")
    if not brace:
        raise ConfigError(f"{side.reference} can't be profiled: no JSON came, but {before.strip()[:200]!r}")
    document, _ = json.JSONDecoder().raw_decode(brace + text)
    return Profile.model_validate(document)


def _ended(child: Child, limit_s: float) -> int | None:
    try:
        return child.process.wait(limit_s)
    except subprocess.TimeoutExpired:
        return None
