"""Closed loops whose users change in number: PHASES and STAIRS, worked out second by second; pure.

The two are those of SageMaker's Inference Recommender (TrafficPattern: InitialNumberOfUsers, SpawnRate in new
users a *minute*, DurationInSeconds; NumberOfSteps, UsersPerStep, DurationInSeconds) without its limits. Its
guide and its reference disagree on the duration of STAIRS; here it is that of each step.

A stage is a stretch of the test with a result of its own: a phase, a step, or a stretch in which a shape of
the user's own kept asking for the same. The first SETTLE_SHARE of each is left out of its numbers: users come
and the server's queue changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.levels import level_name, level_of, users_name
from modeldyno.base.records.load_spec import LoadSpec, Phase, Stairs
from modeldyno.base.records.record import Record
from modeldyno.base.records.run import Row

SETTLE_SHARE = 0.1
SHORTEST_STAGE_S = 2.0
"""Of a shape of the user's own: what it asks for over a shorter time is no stage."""
MOST_STAGES = 1000
S_PER_MIN = 60.0

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Stage:
    """A stretch of the test; times in seconds from its start, warm-up included."""

    name: str
    start_s: float
    end_s: float
    users_from: int
    users_to: int
    spawn_per_s: float = 0.0

    @property
    def counted_from_s(self) -> float:
        """When its own numbers begin."""
        return self.start_s + SETTLE_SHARE * (self.end_s - self.start_s)

    def users_at(self, elapsed_s: float) -> int:
        """How many users there are; those who join come one by one, evenly."""
        joined = math.floor(max(0.0, elapsed_s - self.start_s) * self.spawn_per_s + 1e-9)
        return min(self.users_from + joined, self.users_to)

    def spec(self, whole: LoadSpec) -> LoadSpec:
        """Say it as a test of its own: the last users that it had, its counted seconds."""
        return whole.model_copy(
            update={
                "users": self.users_to,
                "phases": (),
                "stairs": None,
                "shape": "",
                "stage": "" if whole.stairs else self.name,
                "warmup_s": self.counted_from_s,
                "duration_s": self.end_s - self.counted_from_s,
                "max_duration_s": None,
                "min_samples": 0,
            }
        )


def planned_stages(spec: LoadSpec) -> tuple[Stage, ...]:
    """Lay out phases or stairs from the end of the warm-up on; none for any other load."""
    if spec.stairs is not None:
        return tuple(_steps(spec.stairs, spec.warmup_s))
    return tuple(_phases(spec.phases, spec.warmup_s))


def planned_s(spec: LoadSpec) -> float:
    """Seconds that phases or stairs last."""
    if spec.stairs is not None:
        return spec.stairs.steps * spec.stairs.step_s
    return sum(phase.duration_s for phase in spec.phases)


def users_at(stages: Sequence[Stage], elapsed_s: float) -> int:
    """How many users the plan has; the first stage's in the warm-up, the last one's behind the end."""
    for stage in stages:
        if elapsed_s < stage.end_s:
            return stage.users_at(elapsed_s)
    return stages[-1].users_to


def cut(stages: Sequence[Stage], end_s: float) -> tuple[Stage, ...]:
    """Return what there was of each stage in a test that ended at `end_s`, if anything of it counts."""
    kept = []
    for stage in stages:
        last_s = min(stage.end_s, end_s)
        if last_s - stage.counted_from_s > 0.01 * (stage.end_s - stage.start_s):
            kept.append(replace(stage, end_s=last_s, users_to=stage.users_at(last_s)))
    return tuple(kept)


def stages_of_shape(wishes: Sequence[tuple[float, int]], end_s: float) -> tuple[Stage, ...]:
    """Make stages of what a shape asked for: (when, how many users), until `end_s`.

    Short stretches are left out, as in a shape that changes each second.
    """
    ends = [*(start_s for start_s, _ in wishes[1:]), end_s][: len(wishes)]
    stretches = [
        (start_s, last_s, users)
        for (start_s, users), last_s in zip(wishes, ends, strict=True)
        if last_s - start_s >= SHORTEST_STAGE_S and users > 0
    ]
    return tuple(
        Stage(f"stretch {number} ({users_name(users)})", start_s, last_s, users, users)
        for number, (start_s, last_s, users) in enumerate(stretches[:MOST_STAGES], 1)
    )


def closed_loop(spec: LoadSpec) -> str:
    """Word the users of a closed loop: `4 users`, `stairs of 5 steps, 2 users each, 60 s each`."""
    if spec.stairs is not None:
        found = spec.stairs
        return (
            f"stairs of {found.steps} steps, {found.users_per_step} more users each, {found.step_s:g} s each"
        )
    if spec.phases:
        return ", ".join(f"{stage.name} {stage.end_s - stage.start_s:g} s" for stage in planned_stages(spec))
    if spec.shape:
        return f"users as {Path(spec.shape).name} says"
    return users_name(spec.users or 0)


def load_name(found: LoadSpec | Row) -> str:
    """Name what was sent: `4 users`, `12.5 requests/s`, a stage, or how the users of a whole test change."""
    if isinstance(found, LoadSpec) and found.staged and not found.stage:
        return closed_loop(found)
    return level_name(level_of(found), lambda rate_rps: f"{rate_rps:.4g} requests/s")


def parse_phases(text: str) -> tuple[Phase, ...]:
    """Read `USERS:PER_MINUTE:SECONDS[,...]`, e.g. `1:1:30,4:0.5:60`.

    Raises:
        ConfigError: it does not say a phase.
    """
    return tuple(_phase(part.strip()) for part in text.split(","))


def parse_stairs(text: str) -> Stairs:
    """Read `steps=5,users=2,seconds=60`.

    Raises:
        ConfigError: it does not say stairs.
    """
    names = {"steps": "steps", "users": "users_per_step", "seconds": "step_s"}
    pairs = [part.partition("=") for part in text.split(",")]
    fields = {names.get(name.strip(), name.strip()): value.strip() for name, _, value in pairs}
    if len(pairs) != len(names) or fields.keys() != set(names.values()):
        raise ConfigError(
            f"`stairs` {text}: expected steps=N,users=N,seconds=S, e.g. steps=5,users=2,seconds=60",
            field="stairs",
        )
    return _record(Stairs, fields, f"`stairs` {text}")


def parse_shape(text: str) -> str:
    """Read `FILE.py:CLASS`; return it with the file's full path.

    Raises:
        ConfigError: there is no such file, or no name of a class.
    """
    file, _, name = text.rpartition(":")
    path = Path(file).expanduser()
    if not name.isidentifier() or not file:
        raise ConfigError(
            f"`load_shape` {text}: expected FILE.py:CLASS, e.g. shapes.py:DoubleWave", field="load_shape"
        )
    if not path.is_file():
        raise ConfigError(f"`load_shape` {text}: there is no file {path}", field="load_shape")
    return f"{path.resolve()}:{name}"


def _phase(text: str) -> Phase:
    parts = text.split(":")
    if len(parts) != 3:
        raise ConfigError(f"`phases`: {text!r} is no USERS:PER_MINUTE:SECONDS, e.g. 1:2:120", field="phases")
    names = ("initial_users", "spawn_per_min", "duration_s")
    return _record(Phase, dict(zip(names, parts, strict=True)), f"`phases`: {text!r}")


def _record(kind: type[R], fields: Mapping[str, str], what: str) -> R:
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{what}: {first['loc'][0]}: {first['msg']}, found {first['input']!r}") from error


def _phases(phases: Sequence[Phase], start_s: float) -> Iterator[Stage]:
    for number, phase in enumerate(phases, 1):
        first = phase.initial_users
        spawn_per_s = phase.spawn_per_min / S_PER_MIN
        last = first + math.floor(spawn_per_s * phase.duration_s + 1e-9)
        users = users_name(first) if first == last else f"{first} to {last} users"
        end_s = start_s + phase.duration_s
        yield Stage(f"phase {number} ({users})", start_s, end_s, first, last, spawn_per_s)
        start_s = end_s


def _steps(stairs: Stairs, start_s: float) -> Iterator[Stage]:
    for number in range(1, stairs.steps + 1):
        users, end_s = number * stairs.users_per_step, start_s + stairs.step_s
        yield Stage(f"step {number} ({users_name(users)})", start_s, end_s, users, users)
        start_s = end_s
