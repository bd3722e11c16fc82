"""A candidate against a saved run: its numbers alone, which can pass or warn and never make a regression."""

from __future__ import annotations

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.gate import GateMetric, GateWarning
from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.gate.content.saved import SavedRun, read_saved, saved_of_load
from modeldyno.gate.exact.saved_numbers import compare_numbers, numbers_against
from modeldyno.gate.limits import GateLimits
from modeldyno.gate.live.setting import bodies_for, setting_of, users_of
from modeldyno.gate.options import GateOptions
from modeldyno.gate.sides.record import Side
from modeldyno.loadgen.run import run_load

CANDIDATE = "candidate"
LONGEST_S, SHARE = 30.0, 0.5
"""Of the budget: a single load test of the candidate takes so much of it."""
WARMUP_S = 2.0


def against_numbers(
    baseline: Side, candidate: Side, limits: GateLimits, options: GateOptions, budget_s: float
) -> tuple[tuple[GateMetric, ...], tuple[GateWarning, ...]]:
    """Compare a saved run with another, or with a load test of the candidate.

    Raises:
        ConfigError: a file is none. ServerError, LoadTestError: the candidate can't be measured.
    """
    saved = _read(baseline)
    if candidate.kind == "saved run":
        fresh = _read(candidate)
    else:
        result = _loaded(candidate, options, budget_s)
        if not result.valid:
            return (), (GateWarning(rank="void", text=result.invalid_reasons[0], advice="measure again"),)
        fresh = saved_of_load(result)
    found = numbers_against(saved, fresh.host, fresh.load)
    if not found.comparable:
        return (), (found.warning,)
    shares = {name: limit.regression for name, limit in limits.measured.items()}
    return compare_numbers(saved, fresh, shares, found), (found.warning,)


def _read(side: Side) -> SavedRun:
    if side.path is None:
        raise ConfigError(f"{side.reference} is no saved run")
    return read_saved(side.path)


def _loaded(candidate: Side, options: GateOptions, budget_s: float) -> LoadResult:
    setting = setting_of({CANDIDATE: candidate}, options)
    bodies = bodies_for(setting, CANDIDATE, options)
    closed = options.rate_rps is None
    with setting.provider.deploy(setting.orders[CANDIDATE]) as deployment:
        spec = LoadSpec(
            url=deployment.url,
            users=users_of(options) if closed else None,
            rate_rps=options.rate_rps,
            warmup_s=WARMUP_S,
            duration_s=min(LONGEST_S, SHARE * budget_s),
            timeout_s=options.timeout_s,
            seed=options.seed,
        )
        pid = None if deployment.usage is None else deployment.usage.pid
        return run_load(spec, bodies, server_pid=pid, workers=deployment.generator)
