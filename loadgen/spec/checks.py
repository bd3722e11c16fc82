"""What can't be run is refused, and what a load test works out from its spec before it begins; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.payloads.files import Mix
from modeldyno.loadgen.server.endpoint import endpoint_url
from modeldyno.loadgen.spec.bounds import MAX_RATE, MAX_REQUESTS, MAX_SECONDS, MAX_TIMEOUT_S, MAX_USERS
from modeldyno.loadgen.spec.expected import expected_of
from modeldyno.loadgen.spec.stages import Stage, planned_s, planned_stages
from modeldyno.loadgen.spec.stop_rules import check_rules


def checked_spec(spec: LoadSpec, mix: Mix) -> LoadSpec:
    """Return the spec with everything filled in.

    Raises:
        ConfigError: as `check_numbers`.
    """
    check_numbers(spec)
    if spec.phases or spec.stairs:
        spec = spec.model_copy(
            update={"duration_s": planned_s(spec), "min_samples": 0, "max_duration_s": None}
        )
    spec = long_enough(spec)
    filled = {"content_type": mix.content_type, "payload_bytes": round(mix.mean_bytes)}
    return spec.model_copy(update={"url": endpoint_url(spec.url), **filled})


def check_numbers(spec: LoadSpec) -> None:
    """See whether a spec can be run at all; nothing is sent, no file is read.

    Raises:
        ConfigError: it asks for no loop, several, or more than can be run; or expects what no answer can be.
    """
    kinds = (spec.users is not None, spec.staged, spec.rate_rps is not None)
    if sum(kinds) != 1 or sum(map(bool, (spec.phases, spec.stairs, spec.shape))) > 1:
        raise ConfigError(
            "a load test needs either users, phases, stairs or a shape (closed loop) or rate_rps (open loop)"
        )
    check_rules(spec)
    expected_of(spec)
    users = _users(spec, planned_stages(spec))
    if any(not 1 <= number <= MAX_USERS for number in users):
        raise ConfigError(f"users must be from 1 to {MAX_USERS}, got {max(users)}")
    longest_s = planned_s(spec) if spec.phases or spec.stairs else spec.longest_s
    if not spec.warmup_s + longest_s <= MAX_SECONDS or not spec.timeout_s <= MAX_TIMEOUT_S:
        raise ConfigError(
            f"a load test lasts at most {MAX_SECONDS:g} s, a request at most {MAX_TIMEOUT_S:g} s"
        )
    if spec.rate_rps is not None:
        _check_rate(spec.rate_rps, spec.warmup_s + longest_s)
    elif spec.max_in_flight is not None:
        raise ConfigError(
            "max_in_flight bounds an open loop; of a closed one each user has one request in flight"
        )


def _check_rate(rate_rps: float, seconds: float) -> None:
    if not 0 < rate_rps <= MAX_RATE:
        raise ConfigError(f"rate_rps must be above 0 and at most {MAX_RATE:g}, got {rate_rps:g}")
    if rate_rps * seconds > MAX_REQUESTS:
        raise ConfigError(
            f"{rate_rps:g} requests a second over {seconds:g} s are {rate_rps * seconds:.3g}: at most "
            f"{MAX_REQUESTS:.3g} of one test can be kept"
        )


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
