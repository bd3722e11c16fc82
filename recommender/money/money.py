"""What the measured candidates cost at a job's traffic; pure but for the reading of a trace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from modeldyno.base.records.money import CandidateCost, Mix, Money, Pattern, Replay
from modeldyno.base.records.run import Limits, Row, Trial
from modeldyno.recommender.job.job import Job
from modeldyno.recommender.job.traffic_section import Traffic
from modeldyno.recommender.money.advice import not_replayed, replays
from modeldyno.recommender.money.choices import answer_text, chosen, flip_loads, flip_table
from modeldyno.recommender.money.demand import MONTH_HOURS, Demand, demand
from modeldyno.recommender.money.fleet import Offer, fixed_fleet, scaled_fleet
from modeldyno.recommender.money.mix import Pair, best_mix
from modeldyno.recommender.money.offers import offers_of
from modeldyno.recommender.money.patterns import patterns, served_of
from modeldyno.reports.text.digits import TIMES


def month_of(job: Job, ranking: Sequence[Row], trials: Sequence[Trial]) -> Money | None:
    """Price the job's traffic; None where it has none.

    Raises:
        ConfigError: as `money`.
    """
    return money(job.traffic, ranking, trials, job.limits) if job.traffic else None


def money(traffic: Traffic, ranking: Sequence[Row], trials: Sequence[Trial], limits: Limits) -> Money:
    """Price a month of the traffic on each candidate of a ranking.

    Raises:
        ConfigError: the traffic's trace can't be read.
    """
    asked = demand(traffic)
    offers = offers_of(ranking, trials)
    best, loads = chosen(offers, asked), flip_loads(offers, asked)
    pair = best_mix(offers, asked)
    return Money(
        traffic=asked.facts(),
        answer=_answer(best, asked),
        best=best.trial if best else None,
        candidates=costs(offers, asked),
        flips_below_rps=loads.below_rps,
        flips_above_rps=loads.above_rps,
        flips=flip_table(offers, asked, trials, limits),
        mix=_mix(pair, offers, asked) if pair else None,
        patterns=_patterns(best, trials, asked, traffic),
        replays=_replays(best, trials, limits, asked),
        assumed=tuple(_assumed(offers)),
        notes=(*asked.notes, *_notes(limits, asked)),
    )


def costs(offers: Sequence[Offer], asked: Demand) -> tuple[CandidateCost, ...]:
    """Each offer at this traffic, the cheapest first."""
    found = [_cost(offer, asked) for offer in offers]
    return tuple(sorted(found, key=lambda each: each.fixed.usd_per_month))


def _cost(offer: Offer, asked: Demand) -> CandidateCost:
    instance = offer.instance
    return CandidateCost(
        trial=offer.trial,
        instance_type=instance.instance_type,
        backend=offer.backend,
        capacity_rps=offer.capacity_rps,
        usd_per_hour=instance.usd_per_hour,
        price=f"{instance.price_source}; {instance.price_date}",
        fixed=fixed_fleet(offer, asked),
        scaled=scaled_fleet(offer, asked),
    )


def _answer(best: Offer | None, asked: Demand) -> str:
    text = f"For {asked.text}: {answer_text(best, asked)}"
    if best is None:
        return f"{text}."
    fixed, scaled = fixed_fleet(best, asked), scaled_fleet(best, asked)
    parts = [f"{asked.headroom:.0%} of headroom", f"{asked.spare} spare"]
    if scaled.usd_per_month < fixed.usd_per_month:
        parts.append(f"${scaled.usd_per_month:,.2f} scaled by the hour, {scaled.least} to {scaled.most}")
    parts.append(f"a month is {MONTH_HOURS:g} h")
    return f"{text} ({'; '.join(parts)})."


def _patterns(
    best: Offer | None, trials: Sequence[Trial], asked: Demand, traffic: Traffic
) -> tuple[Pattern, ...]:
    """Of the answer's candidate."""
    trial = _trial_of(best, trials)
    served = served_of(trial) if trial else None
    if best is None or served is None:
        return ()
    prices = (traffic.provisioned_usd_per_gb_s, traffic.provisioned_run_usd_per_gb_s)
    priced = replace(served, provisioned_usd_per_gb_s=prices[0], provisioned_run_usd_per_gb_s=prices[1])
    return patterns(best, priced, asked)


def _replays(
    best: Offer | None, trials: Sequence[Trial], limits: Limits, asked: Demand
) -> tuple[Replay, ...]:
    trial = _trial_of(best, trials)
    return replays(best, trial, limits, asked) if best and trial else ()


def _trial_of(best: Offer | None, trials: Sequence[Trial]) -> Trial | None:
    return next((each for each in trials if best and each.candidate.key == best.trial), None)


def _mix(pair: Pair, offers: Sequence[Offer], asked: Demand) -> Mix:
    single = min(scaled_fleet(offer, asked).usd_per_month for offer in offers)
    of_base = pair.base.capacity_rps >= pair.peak.capacity_rps
    base = pair.base_count + (asked.spare if of_base else 0)
    most = max(pair.peak_counts) + (0 if of_base else asked.spare)
    saving = 1 - pair.usd_per_month / single
    return Mix(
        base_trial=pair.base.trial,
        base_instances=base,
        peak_trial=pair.peak.trial,
        peak_most=most,
        usd_per_month=pair.usd_per_month,
        saving=saving,
        text=f"{base} {TIMES} {pair.base.name} all the time and up to {most} {TIMES} {pair.peak.name} by the "
        f"hour: ${pair.usd_per_month:,.2f} a month, {saving:.0%} less than the best single type",
    )


def _assumed(offers: Sequence[Offer]) -> Iterator[str]:
    for offer in {each.instance.instance_type: each for each in offers}.values():
        if offer.instance.assumed:
            columns = ", ".join(offer.instance.assumed.split())
            yield f"{offer.instance.instance_type}: {columns}"
    if offers:
        yield "instances share the traffic evenly, and one serves what was measured here under the limits"


def _notes(limits: Limits, asked: Demand) -> Iterator[str]:
    if why := not_replayed(limits, asked):
        yield why
    if not limits.latency_ms:
        yield (
            "no limit on latency was given: an instance is taken to serve the highest throughput that was "
            "measured, whatever its latency"
        )
