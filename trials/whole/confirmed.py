"""A rate that was found, held against its confirmations in new servers; pure.

A search stands at the highest of many rates, each tried once or twice in one server: the one that chance was
kind to. So it is tried again by tests that nothing chose it by. Met in each: it stands. Missed in some: it
stands, marked, and the lower end of its interval is the highest rate below it that certainly met the limits
(`trials.measure.rate_search.found_rate`). Missed in all: the candidate stands at the highest rate below it
that met the limits in the search, which nothing confirms; without one nothing is decided.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modeldyno.base.records.load import RateSearch, RateStep


def with_confirmations(found: RateSearch, tries: Sequence[RateSearch]) -> tuple[RateSearch, tuple[str, ...]]:
    """Add the load tests of all confirmations; give what they make of the rate, and what is weak about it.

    Args:
        found: a search that found a rate.
        tries: what each start of a server made of that rate; the last test of each counts.
    """
    rate = found.met_rps
    assert rate is not None  # noqa: S101 - only what was found is confirmed
    last = [each.steps[-1] for each in tries if each.steps]
    judged = [step for step in last if not step.void]
    missed = [step for step in judged if not step.met]
    steps = (*found.steps, *(step for each in tries for step in each.steps))
    search = found.model_copy(update={"steps": steps})
    if judged:
        said = {"undecided": "", "only_unconfirmed": False} if found.only_unconfirmed else {}
        search = search.model_copy(update={"confirmed": not missed, **said})
    if judged and len(missed) == len(judged):
        return _below(search, rate, len(judged)), (_said(rate, len(missed), len(judged)),)
    weak = (_said(rate, len(missed), len(judged)),) if missed else ()
    return search, (*weak, *_not_judged(tries, len(judged)))


def _said(rate: float, missed: int, judged: int) -> str:
    return f"the rate that was found ({rate:.4g} req/s) missed in {missed} of {judged} confirmations"


def _below(search: RateSearch, rate: float, judged: int) -> RateSearch:
    """Stand at what the search met below."""
    lower = max((step.rate_rps for step in search.steps if step.met and step.rate_rps < rate), default=None)
    now = (
        "nothing below it met the limits"
        if lower is None
        else f"{lower:.4g} req/s were met, and not confirmed"
    )
    undecided = f"{_said(rate, judged, judged)}; {now}"
    return search.model_copy(update={"met_rps": lower, "failed_rps": rate, "undecided": undecided})


def _not_judged(tries: Sequence[RateSearch], judged: int) -> Iterator[str]:
    """Say which confirmations say nothing, and why the last of them does not."""
    reasons = [_reason(each) for each in tries if not each.steps or each.steps[-1].void]
    if reasons:
        yield f"{len(tries) - judged} of {len(tries)} confirmations of its rate say nothing: {reasons[-1]}"


def _reason(one: RateSearch) -> str:
    last: RateStep | None = one.steps[-1] if one.steps else None
    return one.undecided or ("; ".join(last.reasons) if last else "") or "it was not tried"
