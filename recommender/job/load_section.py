"""The `load` of a job: what every candidate is sent, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.load_spec import LoadSpec, Phase, Stairs
from modeldyno.base.records.record import Record
from modeldyno.base.settings import described
from modeldyno.loadgen.spec.mlperf import MIN_DURATION_S, MULTI_STREAM, SERVER, SINGLE_STREAM, scenario_spec
from modeldyno.loadgen.spec.options import Arrivals, Bodies, Ends
from modeldyno.loadgen.spec.stages import planned_s
from modeldyno.loadgen.spec.stop_rules import check_rules
from modeldyno.recommender.job.fields import Count, JobPath, Rate, Seconds, Shapes
from modeldyno.recommender.job.find_rate import FindRate
from modeldyno.recommender.job.yaml_lines import FieldError

DEFAULT_USERS = (1, 2, 4)
DEFAULT_LONGEST_S = 60.0
DEFAULT_ROUNDS, ONCE_FROM_S = 2, 120.0
"""A load in stages that is longer is measured once, unless the job says otherwise."""
KINDS = ("users", "phases", "stairs", "rate_rps", "find_rate")
CLOSED = ("users", "phases", "stairs")


def _paths(value: Any) -> Any:
    """Take one path as a mix of one."""
    return {value: 1.0} if isinstance(value, str | Path) else value


@described
class Load(Record, Bodies, Ends, Arrivals):  # type: ignore[misc] # a Record is frozen too
    """The load that each candidate gets: a load test per level, one in stages, or a search for the rate."""

    model_config = ConfigDict(allow_inf_nan=False)

    users: tuple[Count, ...] | None = Field(
        default=None,
        min_length=1,
        description="closed loop: numbers of users who wait for each answer; 1, 2, 4 without another load",
    )
    phases: tuple[Phase, ...] | None = Field(
        default=None,
        min_length=1,
        description="closed loop: one test whose users grow in number; each phase counts as a load level",
    )
    stairs: Stairs | None = Field(
        default=None,
        description="closed loop: one test with more users step by step; each step counts as a load level",
    )
    rate_rps: tuple[Rate, ...] | None = Field(
        default=None,
        min_length=1,
        description="open loop: requests a second, sent whether or not answers come",
    )
    find_rate: FindRate | None = Field(
        default=None,
        description="open loop: search each candidate's highest rate that meets the limits, and rank by it; "
        "{} with the defaults",
    )
    trace: JobPath | None = Field(
        default=None,
        description="open loop: file of recorded arrival times (seconds, one a line), at their own rate or "
        "at each `rate_rps`; relative to the job file",
    )
    payload: Annotated[dict[JobPath, Rate], BeforeValidator(_paths)] = Field(
        default_factory=dict,
        description="request bodies: a file or folder, or several with their weights; relative to the job "
        "file; left out: seeded random tensors for the model's inputs",
    )
    shape: Shapes = Field(
        default_factory=dict,
        description="shape of the random tensors, within the job's `shape`; a list (1|8) sends each in equal "
        "shares; left out: the smallest",
    )
    warmup_s: float = Field(
        default=2.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="seconds of load that are not counted; of `users` once a start of a server",
    )
    duration_s: Seconds = Field(
        default=10.0,
        description="seconds of load that are counted; of `users` in all blocks of a level together, of a "
        "scenario 600, unless it is given",
    )
    min_samples: int = Field(
        default=368,
        ge=0,
        description="measure on until so many requests have succeeded; p99 is stated from 368 samples; of "
        "`users` this holds for those that can be the best",
    )
    max_duration_s: Seconds | None = Field(
        default=None,
        description="the longest measured window of one level, for min_samples and find_rate; "
        "left out: 60 s, or duration_s where that is longer",
    )
    timeout_s: Seconds = Field(default=30.0, description="seconds after which a request is an error")
    rounds: int | None = Field(
        default=None,
        ge=1,
        le=20,
        description="how often each candidate's load tests are made, each time in a new server; of find_rate "
        "how often the rate that was found is confirmed, at least 2. Left out: 2; 1 for a scenario, and for "
        "phases or stairs of more than 2 minutes. Not for `users`: their blocks take turns anyway",
    )

    @field_validator("find_rate")
    @classmethod
    def _not_left_empty(cls, value: FindRate | None, info: ValidationInfo) -> FindRate | None:
        if value is None and info.context:
            raise ValueError("write `find_rate: {}` for a search with the defaults")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Load:
        self._check_kind()
        self._check_open()
        self._check_scenario()
        self._check_sent()
        self._check_length()
        self._check_rounds()
        try:
            for spec in self.specs("", 0):
                check_rules(spec)
        except ConfigError as error:
            raise FieldError("stop_when", str(error)) from error
        return self

    def _given(self, *names: str) -> list[str]:
        return [name for name in names if getattr(self, name) is not None]

    def _changed(self, name: str) -> bool:
        """Not by `model_fields_set`: a job that is read back from a run folder has every field set."""
        return bool(getattr(self, name) != type(self).model_fields[name].default)

    def _check_kind(self) -> None:
        if self.users is not None and self.rate_rps is not None:
            raise FieldError(
                "rate_rps", "users (closed loop) and rate_rps (open loop) exclude each other: give one"
            )
        kinds = self._given(*KINDS)
        if len(kinds) > 1:
            raise FieldError(kinds[1], f"{' and '.join(kinds)} exclude each other: give one")
        lengths = [name for name in ("duration_s", "max_duration_s", "min_samples") if self._changed(name)]
        if lengths and kinds and kinds[0] in ("phases", "stairs"):
            raise FieldError(
                lengths[0], f"{kinds[0]} say how long they last: leave out {' and '.join(lengths)}"
            )
        if self.find_rate and self._changed("min_samples"):
            raise FieldError("min_samples", "find_rate takes what the limits need: leave out min_samples")

    def _check_open(self) -> None:
        closed = self._given(*CLOSED)
        if self.trace is not None and (closed or self.find_rate):
            other = closed[0] if closed else "find_rate"
            raise FieldError("trace", f"a trace is an open loop's arrivals: leave out {other}")
        if self.trace is not None and self._changed("arrival"):
            raise FieldError("arrival", "the trace says when requests arrive: leave out arrival")
        is_open = self.trace is not None or self._given("rate_rps", "find_rate")
        if self.arrival != "poisson" and not is_open:
            raise FieldError("arrival", f"{self.arrival} arrivals need an open loop: rate_rps or find_rate")
        if self.max_in_flight is not None and not is_open:
            raise FieldError(
                "max_in_flight", "max_in_flight bounds an open loop: rate_rps, trace or find_rate"
            )
        if self._changed("burstiness") and self.arrival != "gamma":
            raise FieldError("burstiness", "burstiness belongs to `arrival: gamma`")

    def _check_scenario(self) -> None:
        if self.scenario is None:
            return
        if found := self._given("phases", "stairs", "trace"):
            raise FieldError("scenario", f"a scenario has a load of its own: leave out {' and '.join(found)}")
        is_open = bool(self._given("rate_rps", "find_rate"))
        if self.scenario == SERVER and (not is_open or self.arrival != "poisson"):
            raise FieldError("scenario", "Server has Poisson arrivals: give rate_rps or find_rate")
        if self.scenario != SERVER and is_open:
            raise FieldError("scenario", f"{self.scenario} is a closed loop: leave out the rate")
        if self.scenario in (SINGLE_STREAM, MULTI_STREAM) and self.users not in (None, (1,)):
            raise FieldError("users", f"{self.scenario} sends one query at a time: leave out users")

    def _check_sent(self) -> None:
        if not self.payload and (self.rows or self.content_type):
            name = "rows" if self.rows else "content_type"
            raise FieldError(name, f"{name} says how payload is sent: give payload")
        if self.payload and self.shape:
            raise FieldError("shape", "shape is for random tensors: what payload names has its own")
        if named := next((path for path in self.payload if "," in str(path)), None):
            raise FieldError("payload", f"{named} has a comma in its name, which separates paths: rename it")

    def _check_length(self) -> None:
        if self.max_duration_s is not None and self.max_duration_s < self.window_s:
            raise FieldError(
                "max_duration_s",
                f"max_duration_s ({self.max_duration_s:g}) is shorter than duration_s ({self.window_s:g})",
            )

    def _check_rounds(self) -> None:
        if self.rounds is not None and self.takes_turns:
            raise FieldError(
                "rounds", "users are measured in blocks that take turns, for duration_s: leave out rounds"
            )
        if self.rounds == 1 and self.find_rate:
            raise FieldError("rounds", "find_rate confirms a rate in 2 rounds at least")

    @property
    def takes_turns(self) -> bool:
        """Whether short blocks can measure it: closed loops of a fixed number of users.

        A queue at a rate takes a hundred service times to settle: rates, traces, phases and scenarios keep
        whole load tests.
        """
        given = (self.find_rate, self.rate_rps, self.trace, self.phases, self.stairs, self.scenario)
        return all(each is None for each in given) and not self.stop_when

    @property
    def times(self) -> int:
        """How often whole load tests are made; of a search how often a rate is confirmed."""
        if self.takes_turns:
            return 1
        if self.rounds is not None or self.find_rate is not None:
            return self.rounds or DEFAULT_ROUNDS
        staged = self.staged
        once = self.scenario is not None or (staged is not None and planned_s(staged) > ONCE_FROM_S)
        return 1 if once else DEFAULT_ROUNDS

    @property
    def starts(self) -> int:
        """Servers of each candidate that whole load tests take: a search has one of its own."""
        return self.times + (self.find_rate is not None)

    @property
    def chosen_bodies(self) -> bool:
        """Whether anything but random tensors of the smallest shape, or of other times, is sent."""
        return bool(self.payload or self.trace or self.shape)

    @property
    def window_s(self) -> float:
        """Seconds that are counted at least."""
        by_rule = self.scenario is not None and self.find_rate is None
        return MIN_DURATION_S if by_rule and "duration_s" not in self.model_fields_set else self.duration_s

    @property
    def longest_s(self) -> float:
        """Seconds that the measured window of one level lasts at the most."""
        return self.max_duration_s or max(DEFAULT_LONGEST_S, self.window_s)

    def specs(
        self, url: str, seed: int, *, bound_ms: float | None = 1.0, trace_rps: float = 1.0
    ) -> tuple[LoadSpec, ...]:
        """Return one LoadSpec for `url` per load test, in the order given; of a search the first.

        `bound_ms` is the latency bound of scenario Server; `trace_rps` the trace's own rate.
        """
        common = LoadSpec(
            url=url,
            seed=seed,
            arrival="trace" if self.trace else self.arrival,
            burstiness=self.burstiness if self.arrival == "gamma" else 1.0,
            trace=self.trace.name if self.trace else "",
            warmup_s=self.warmup_s,
            duration_s=self.window_s,
            min_samples=self.min_samples,
            max_duration_s=self.longest_s,
            timeout_s=self.timeout_s,
            max_in_flight=self.max_in_flight,
            stop_when=self.stop_when,
        )
        specs = (common.model_copy(update=level) for level in self.levels(trace_rps))
        if self.scenario is None:
            return tuple(specs)
        bound_ms = bound_ms if self.scenario == SERVER else None
        return tuple(scenario_spec(spec, self.scenario, bound_ms=bound_ms) for spec in specs)

    def levels(self, trace_rps: float = 1.0) -> tuple[dict[str, Any], ...]:
        """Each load test as the fields of a LoadSpec: `users`, `phases`, `stairs` or `rate_rps`."""
        if self.phases is not None or self.stairs is not None:
            return ({"phases": self.phases or (), "stairs": self.stairs},)
        if self.find_rate is not None:
            start_rps = self.find_rate.start_rps
            return ({"rate_rps": 1.0 if start_rps == "auto" else start_rps},)
        if self.rate_rps is not None:
            return tuple({"rate_rps": rate} for rate in self.rate_rps)
        if self.trace is not None:
            return ({"rate_rps": trace_rps},)
        default = DEFAULT_USERS if self.scenario is None else (None,)
        return tuple({"users": users} for users in self.users or default)

    @property
    def staged(self) -> LoadSpec | None:
        """The one test in stages, if that is what the candidates get."""
        spec = self.specs("", 0)[0]
        return spec if spec.staged else None
