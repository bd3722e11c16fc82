"""What can't be run is refused, and what a load test works out from its spec before it begins; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.payloads.files import Mix
from modeldyno.loadgen.server.endpoint import endpoint_url
from modeldyno.loadgen.spec.stages import Stage, planned_s, planned_stages
from modeldyno.loadgen.spec.stop_rules import check_rules

MAX_USERS = 10_000
MAX_SECONDS = 24 * 3600.0
MAX_TIMEOUT_S = 3600.0


def checked_spec(spec: LoadSpec, mix: Mix) -> LoadSpec:
    """Return the spec with everything filled in.

    Raises:
        ConfigError: it asks for no loop, several, or more than can be run.
    """
    kinds = (spec.users is not None, spec.staged, spec.rate_rps is not None)
    if sum(kinds) != 1 or sum(map(bool, (spec.phases, spec.stairs, spec.shape))) > 1:
        raise ConfigError(
            "a load test needs either users, phases, stairs or a shape (closed loop) or rate_rps (open loop)"
        )
    check_rules(spec)
    stages = planned_stages(spec)
    if stages:
        spec = spec.model_copy(
            update={"duration_s": planned_s(spec), "min_samples": 0, "max_duration_s": None}
        )
    if any(not 1 <= users <= MAX_USERS for users in _users(spec, stages)):
        raise ConfigError(f"users must be from 1 to {MAX_USERS}, got {max(_users(spec, stages))}")
    if spec.rate_rps is None and spec.max_in_flight is not None:
        raise ConfigError(
            "max_in_flight bounds an open loop; of a closed one each user has one request in flight"
        )
    if spec.rate_rps is not None and not 0 < spec.rate_rps < float("inf"):
        raise ConfigError(f"rate_rps must be above 0, got {spec.rate_rps}")
    if not spec.warmup_s + spec.longest_s <= MAX_SECONDS or not spec.timeout_s <= MAX_TIMEOUT_S:
        raise ConfigError(
            f"a load test lasts at most {MAX_SECONDS:g} s, a request at most {MAX_TIMEOUT_S:g} s"
        )
    spec = long_enough(spec)
    filled = {"content_type": mix.content_type, "payload_bytes": round(mix.mean_bytes)}
    return spec.model_copy(update={"url": endpoint_url(spec.url), **filled})


def first_users(spec: LoadSpec) -> int | None:
    """How many users a closed loop begins with; None for an open one."""
    return None if spec.rate_rps is not None else _users(spec, planned_stages(spec))[0]


def _users(spec: LoadSpec, stages: Sequence[Stage]) -> list[int]:
    """Numbers of users that are known before the test; the first ones come first."""
    planned = [users for stage in stages for users in (stage.users_from, stage.users_to)]
    return planned or ([1] if spec.users is None else [spec.users])


def long_enough(spec: LoadSpec) -> LoadSpec:
    """Make an open loop's window as long as `min_samples` needs before it starts: its rate is known."""
    if spec.rate_rps is None:
        return spec
    # 5 % more, since Poisson arrivals may fall short of their mean.
    needed_s = math.ceil(1.05 * spec.min_samples / spec.rate_rps)
    window_s = min(max(spec.duration_s, needed_s), spec.longest_s)
    # Fixed from the start: users hold arrivals ahead of time, and which of them count must be known then.
    return spec.model_copy(update={"duration_s": window_s, "max_duration_s": None})
