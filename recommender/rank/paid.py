"""What a candidate's measured CPU does to its price and its throughput: burstable instance types; pure."""

from __future__ import annotations

from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.record import Estimate
from modeldyno.base.records.run import Trial
from modeldyno.trials.catalog.cost import Hourly, hourly


def cores_used(point: LoadResult) -> float | None:
    """Cores that the server kept busy; None where nobody could see them."""
    return point.server.cpu_cores_mean if point.server else None


def paid(trial: Trial, point: LoadResult) -> Hourly:
    """An hour of the trial's instance type at the load of `point`."""
    return hourly(trial.instance, cores_used(point))


def paid_usd_per_hour(trial: Trial, point: LoadResult) -> float:
    """The same in dollars."""
    return paid(trial, point).usd(trial.instance.usd_per_hour)


def as_sustained(trial: Trial) -> Trial:
    """The trial with the throughput that its instance type sustains at each load level."""
    points = (_times(point, paid(trial, point).held_share) for point in trial.points)
    return trial.model_copy(update={"points": tuple(points)})


def per_list_price(trial: Trial, point: LoadResult) -> LoadResult:
    """The point with the throughput that the list price would buy at this point's cost.

    By it the levels of a candidate compare in money, as those of one price compare in throughput.
    """
    whole = paid_usd_per_hour(trial, point)
    return _times(point, trial.instance.usd_per_hour / whole if whole > 0 else 1.0)


def _times(point: LoadResult, share: float) -> LoadResult:
    if share == 1:
        return point
    found = point.throughput_rps
    scaled = Estimate(
        value=share * found.value, low=share * found.low, high=share * found.high, method=found.method
    )
    return point.model_copy(update={"throughput_rps": scaled})
