"""As many closed-loop users as phases, stairs or a LoadTestShape want at each moment.

New users are started a few at a time, so that those who are there are not kept waiting. Users who are too
many leave of themselves, each behind its last answer: no request is cut off, and none is lost.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import gevent
from locust import LoadTestShape

from modeldyno.base.errors import ConfigError
from modeldyno.loadgen.generator.open_files import RESERVED_FILES, file_limit
from modeldyno.loadgen.generator.progress import Failed
from modeldyno.loadgen.generator.run_plan import Plan
from modeldyno.loadgen.spec.bounds import MAX_USERS
from modeldyno.loadgen.spec.stages import Stage, planned_stages, users_at

LOOK_EVERY_S = 0.02
MOST_AT_ONCE = 20
TICK_EVERY_S = 1.0
CROWD_CLASS = "ClosedLoopUser"
"""Of the locustfile."""


class Course(Protocol):
    """How many users there should be."""

    def users(self, elapsed_s: float) -> int | None:
        """Look at it, with rising seconds from the start; None: the test is over."""
        ...

    def take_wishes(self) -> list[tuple[float, int]]:
        """Return what was not foreseen since the last call: when, how many users."""
        ...


class PlannedCourse:
    """Phases or stairs."""

    def __init__(self, stages: tuple[Stage, ...]) -> None:
        self._stages = stages

    def users(self, elapsed_s: float) -> int:
        """Phases and stairs end with the window: never None."""
        return users_at(self._stages, elapsed_s)

    def take_wishes(self) -> list[tuple[float, int]]:
        """All is foreseen."""
        return []


class ShapeCourse:
    """A LoadTestShape, asked each second as Locust does it, and never in between.

    It is asked from the end of the warm-up on; until then there are the users of its first answer.
    """

    def __init__(self, shape: LoadTestShape, warmup_s: float) -> None:
        self._shape, self._warmup_s = shape, warmup_s
        self._wishes: list[tuple[float, int]] = []
        self._next_s, self._begun = 0.0, False
        self._from_s, self._per_s, self._target = 0.0, math.inf, 0
        self._ask(0.0)
        self._from_users = self._target

    def users(self, elapsed_s: float) -> int | None:
        """Users of the last answer, reached at its spawn rate; None once it answered None."""
        if elapsed_s >= self._warmup_s and not self._begun:
            self._begun, self._next_s = True, elapsed_s
            self._wishes = [(elapsed_s, self._target)]
            self._shape.reset_time()
        if self._begun and elapsed_s >= self._next_s and not self._ask(elapsed_s):
            return None
        moved = 1 + math.floor(min(1e6, (elapsed_s - self._from_s) * self._per_s))
        if self._target >= self._from_users:
            return min(self._target, self._from_users + moved)
        return max(self._target, self._from_users - moved)

    def take_wishes(self) -> list[tuple[float, int]]:
        """New numbers of users that it asked for, behind the warm-up."""
        taken = self._wishes if self._begun else []
        self._wishes = [] if self._begun else self._wishes
        return taken

    def _ask(self, elapsed_s: float) -> bool:
        self._next_s = elapsed_s + TICK_EVERY_S
        wish = self._shape.tick()
        if wish is None:
            return False
        if len(wish) > 2 and wish[2]:
            raise ConfigError(
                "a shape that names user classes can't be run: the users are this load test's own"
            )
        users, per_s = int(wish[0]), float(wish[1])
        if users < 0 or not per_s > 0:
            raise ConfigError(f"the shape's tick() asked for {users} users at {per_s} a second")
        most = min(MAX_USERS, file_limit() - RESERVED_FILES)
        if users > most:
            raise ConfigError(f"the shape's tick() asked for {users} users: there can be {most} here")
        if users != self._target:
            self._from_users, self._from_s, self._target = self._target, elapsed_s, users
            if self._wishes and self._wishes[-1][0] == elapsed_s:
                self._wishes.pop()
            self._wishes.append((elapsed_s, users))
        self._per_s = per_s
        return True


class Crowd:
    """Starts users and lets them go.

    Of `share` (k, n) it is the k-th of n crowds, which divide the users among them as evenly as can be.
    """

    def __init__(self, course: Course, runner: Any, users: int, share: tuple[int, int] = (0, 1)) -> None:
        self._course, self._runner, self._share = course, runner, share
        self.alive = self.wanted = users

    def leaves(self) -> bool:
        """Ask, as a user between two requests, whether to go; who hears yes must go."""
        if self.alive <= self.wanted:
            return False
        self.alive -= 1
        return True

    def look(self, elapsed_s: float) -> bool:
        """Follow the course to this moment; False when it is over, and its last users stay."""
        users = self._course.users(elapsed_s)
        if users is None:
            return False
        number, crowds = self._share
        self.wanted = users // crowds + (number < users % crowds)
        missing = min(MOST_AT_ONCE, self.wanted - self.alive)
        if missing > 0:
            self.alive += missing
            self._runner.spawn_users({CROWD_CLASS: missing})
        return True

    def follow(self, elapsed: Callable[[], float], tell: Callable[[float, int], None]) -> None:
        """Do it until the course is over; `tell` hears of every change that was not foreseen."""
        while self.look(elapsed()):
            for wish in self._course.take_wishes():
                tell(*wish)
            gevent.sleep(LOOK_EVERY_S)


def course_of(plan: Plan) -> Course | None:
    """Return the course of a plan whose users change in number."""
    if plan.spec.shape:
        return ShapeCourse(load_shape(plan.spec.shape), plan.spec.warmup_s)
    stages = planned_stages(plan.spec)
    return PlannedCourse(stages) if stages else None


def failed(error: Exception) -> Failed:
    """Word what the user's own file did."""
    if isinstance(error, ConfigError):
        return Failed(str(error))
    return Failed(f"the shape raised {type(error).__name__}: {error}")


def load_shape(text: str) -> LoadTestShape:
    """Run the user's file and make its shape.

    Raises:
        ConfigError: it has no such LoadTestShape.
    """
    file, _, name = text.rpartition(":")
    spec = importlib.util.spec_from_file_location(f"dyno_shape_{Path(file).stem}", file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"`load_shape` {text}: {file} is no Python file", field="load_shape")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(Path(file).parent))  # its neighbours can be imported, as under `locust -f`
    spec.loader.exec_module(module)
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, LoadTestShape)):
        known = [key for key, value in vars(module).items() if _is_shape(value)]
        raise ConfigError(
            f"`load_shape` {text}: no LoadTestShape of that name; there are: {', '.join(known) or 'none'}",
            field="load_shape",
        )
    shape: LoadTestShape = found()
    return shape


def _is_shape(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, LoadTestShape) and value is not LoadTestShape
