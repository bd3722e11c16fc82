"""CPU and memory of each stage of a load test, and which stages there were."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.load import TimelinePoint
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.generator.progress import Closing, Event, Failed, LoadProgress, Started, Wanted
from modeldyno.loadgen.spec.stages import SHORTEST_STAGE_S, Stage, cut, planned_stages, stages_of_shape
from modeldyno.loadgen.watch.circumstances import Circumstances
from modeldyno.loadgen.watch.usage import UsageSampler, WindowUsage

NS_PER_S = 1e9

MakeSampler = Callable[[float], UsageSampler]


class StageWatch:
    """Follows a test by its events. Always call `stop`.

    The stages of phases and stairs are known; those of a shape of the user's own are told by events, so that
    their readings begin a moment late, and include the first tenth that their latencies leave out.
    """

    def __init__(self, spec: LoadSpec, make: MakeSampler) -> None:
        self._make, self._planned = make, planned_stages(spec)
        self._wishes: list[tuple[float, int]] = []
        self._users: dict[int, int] = {}
        """As reported at the end of each second."""
        self._samplers: dict[float, UsageSampler] = {}
        self._start_s, self._end_s = math.inf, math.inf
        """On the clock time.monotonic."""

    def follow(self, event: Event) -> None:
        """Take note of an event.

        Raises:
            ConfigError: the shape of the user's own failed.
        """
        if isinstance(event, Started):
            self._start_s = event.start_monotonic_ns / NS_PER_S
        elif isinstance(event, LoadProgress) and event.users is not None:
            self._users[max(0, round(event.elapsed_s) - 1)] = event.users
        elif isinstance(event, Wanted):
            self._end_last(self._start_s + event.elapsed_s)
            self._wishes.append((event.elapsed_s, event.users))
            self._begin(event.elapsed_s, event.elapsed_s)
        elif isinstance(event, Closing):
            self._close(event.end_monotonic_ns / NS_PER_S)
        elif isinstance(event, Failed):
            raise ConfigError(event.message)

    def look(self) -> None:
        """Begin with the planned stage that has come; call it often."""
        number = len(self._samplers)
        if self._wishes or number == len(self._planned):
            return
        stage = self._planned[number]
        if time.monotonic() >= self._start_s + stage.start_s:
            self._begin(stage.start_s, stage.counted_from_s)
            self._samplers[stage.start_s].end_at(self._start_s + stage.end_s)

    def so_far(self) -> tuple[Stage, ...]:
        """Return the stages that are planned, or that there were; a shape's last one is not over yet."""
        return self._stages(time.monotonic() - self._start_s + SHORTEST_STAGE_S)

    def stop(self) -> dict[float, WindowUsage | None]:
        """End all readings; return them by the start of the stage."""
        return {start_s: sampler.stop() for start_s, sampler in self._samplers.items()}

    def seen(self, around: Circumstances) -> Iterator[tuple[Stage, Circumstances]]:
        """End all readings; return the stages that there were, each with what was seen around it."""
        end_s, readings = self._end_s - self._start_s, self.stop()
        for stage in cut(self._stages(end_s), end_s):
            yield stage, replace(around, usage=readings.get(stage.start_s))

    def with_users(self, timeline: Sequence[TimelinePoint]) -> tuple[TimelinePoint, ...]:
        """Say in a time line how many users there were; a second without a report has those before it."""
        users, found = None, []
        for point in timeline:
            users = self._users.get(point.second, users)
            found.append(point.model_copy(update={"users": users}))
        return tuple(found)

    def _stages(self, end_s: float) -> tuple[Stage, ...]:
        return self._planned or stages_of_shape(self._wishes, end_s)

    def _close(self, end_s: float) -> None:
        self._end_s = end_s
        for stage in self._planned[: len(self._samplers)]:
            self._samplers[stage.start_s].end_at(min(end_s, self._start_s + stage.end_s))
        self._end_last(end_s)

    def _begin(self, stage_s: float, read_from_s: float) -> None:
        self._samplers[stage_s] = self._make(self._start_s + read_from_s)

    def _end_last(self, end_s: float) -> None:
        if self._wishes:
            self._samplers[self._wishes[-1][0]].end_at(end_s)
