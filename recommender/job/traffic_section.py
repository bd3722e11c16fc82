"""The `traffic` of a job: how many requests there are over a day, which months are priced by."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.record import Record
from modeldyno.recommender.job.fields import JobPath, Rate
from modeldyno.recommender.job.yaml_lines import FieldError

DAY_STARTS, DAY_ENDS = 8, 20
"""Hours of `day`, as o'clock; the rest is `night`."""
HOURS = 24
NEEDS = "NUMBER, or day=NUMBER,night=NUMBER, or HOUR=NUMBER,..., or a CSV file"

LeastRate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Hour = Annotated[int, Field(ge=0, lt=HOURS)]


def _hours(value: Any) -> Any:
    """Keys of JSON are texts."""
    if not isinstance(value, dict):
        return value
    return {
        int(key) if isinstance(key, str) and key.strip().isdecimal() else key: each
        for key, each in value.items()
    }


class Traffic(Record):
    """Requests a second over a day, a month of which is priced."""

    rate_rps: Rate | None = Field(default=None, description="requests a second, all day")
    day: LeastRate | None = Field(
        default=None, description=f"requests a second from {DAY_STARTS} to {DAY_ENDS} o'clock"
    )
    night: LeastRate | None = Field(default=None, description="requests a second in the rest of the day")
    curve: Annotated[dict[Hour, LeastRate], BeforeValidator(_hours)] = Field(
        default_factory=dict,
        description="hour, 0 to 23: requests a second from then on, until the next hour that is given",
    )
    trace: JobPath | None = Field(
        default=None,
        description="CSV of recorded requests: a time in each line (ISO 8601, or seconds), or a minute and "
        "its number of requests; relative to the job file",
    )
    growth: Rate = Field(default=1.0, description="times the traffic that is planned for, e.g. 1.5")
    headroom: float = Field(
        default=0.2, ge=0, le=10, description="share of the traffic that instances are there for on top"
    )
    spare: int = Field(default=1, ge=0, le=100, description="instances on top, so that one may fail")

    provisioned_usd_per_gb_s: Rate | None = Field(
        default=None,
        description="your price of provisioned concurrency, USD a GB-second that it is enabled; no public "
        "source has it",
    )
    provisioned_run_usd_per_gb_s: Rate | None = Field(
        default=None, description="the same of a GB-second that runs on it"
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Traffic:
        day = self.day is not None or self.night is not None
        kinds = {
            "rate_rps": self.rate_rps is not None,
            "day": day,
            "curve": bool(self.curve),
            "trace": self.trace is not None,
        }
        given = [name for name, there in kinds.items() if there]
        if len(given) > 1:
            raise FieldError(given[1], f"{' and '.join(given)} exclude each other: give one")
        if not given:
            raise FieldError("rate_rps", "traffic needs rate_rps, day and night, curve, or trace")
        if day and (self.day is None or self.night is None):
            raise FieldError("day", "day and night belong together: give both")
        if self.trace is None and not max(self.hourly) > 0:
            raise FieldError(given[0], "there is no request in this traffic")
        return self

    @property
    def hourly(self) -> tuple[float, ...]:
        """Requests a second in each hour of a day, from midnight, without `growth`; empty for a trace."""
        if self.rate_rps is not None:
            return (self.rate_rps,) * HOURS
        if self.day is not None and self.night is not None:
            return tuple(self.day if DAY_STARTS <= hour < DAY_ENDS else self.night for hour in range(HOURS))
        if not self.curve:
            return ()
        last = self.curve[max(self.curve)]  # of the day before
        return tuple(last := self.curve.get(hour, last) for hour in range(HOURS))


def parse_traffic(text: str) -> dict[str, Any]:
    """Turn `40`, `day=40,night=5`, `0=5,8=40,20=5` or the name of a CSV file into fields of Traffic.

    Raises:
        ConfigError: it is none of them.
    """
    if text.lower().endswith(".csv"):
        return {"trace": text}
    if "=" not in text:
        return {"rate_rps": _number(text, text)}
    pairs = [part.partition("=") for part in text.split(",")]
    given = {name.strip(): _number(value, text) for name, _, value in pairs}
    if len(given) < len(pairs):
        raise ConfigError(f"`traffic` {text}: a name stands twice", field="traffic")
    if given.keys() <= {"day", "night"}:
        return dict(given)
    if all(name.isdecimal() for name in given):
        return {"curve": {int(name): rate for name, rate in given.items()}}
    raise ConfigError(f"`traffic` {text}: expected {NEEDS}", field="traffic")


def _number(value: str, text: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise ConfigError(f"`traffic` {text}: expected {NEEDS}", field="traffic") from error
