"""Several runs beside one another: the conditions of each, and whether they are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modeldyno.reports.answer import answer, cost
from modeldyno.reports.naming import short_name
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.results.series import Bar
from modeldyno.reports.results.speedup import BASELINE
from modeldyno.reports.tables.load_facts import facts
from modeldyno.reports.text import phrases

MOST_COLOURS = 6
Named = tuple[str, Run]
DIFFERENT_MINUTES = (
    "The conditions are the same, the minutes are not: what else the machine did in each is in no interval. "
    "To tell these apart, put all candidates into one job, where they take turns."
)


@dataclass(frozen=True)
class Condition:
    """One condition, and what it was in each run; `same` says whether all agree."""

    name: str
    values: tuple[str, ...]
    same: bool


def conditions(runs: Sequence[Named]) -> tuple[Condition, ...]:
    """List what has to agree for numbers of several runs to be compared."""
    each = [_conditions(run) for _, run in runs]
    return tuple(
        Condition(
            name,
            tuple(shown for shown, _ in values),
            same=len({exact for _, exact in values}) == 1,
        )
        for name in each[0]
        for values in [[one[name] for one in each]]
    )


def _conditions(run: Run) -> dict[str, tuple[str, str]]:
    """Of each condition what is shown, and what has to be equal."""
    found, host = run.recommendation, run.recommendation.host
    limits = ", ".join(phrases.limits(found.limits)) or "none"
    load = "; ".join(text for _, text in facts(run)) or "none"
    how = "in turns" if found.comparison else "one after another"
    machine = f"{host.cpu_model}, {host.usable_cores} of {host.logical_cores} cores"
    model = phrases.log_text(found.model)
    exact = {"limits": limits, "load": load, "way of measuring": how, "machine": machine}
    return {"model": (model, found.model_digest), **{name: (text, text) for name, text in exact.items()}}


def why_not_ranked(found: Sequence[Condition]) -> str:
    """Say why rows of these runs stand in no common order; all conditions alike, what is still different."""
    different = [one.name for one in found if not one.same]
    if not different:
        return DIFFERENT_MINUTES
    verb = "differs" if len(different) == 1 else "differ"
    return (
        f"Not ranked together: {_listed(different)} {verb}, so a difference in cost is not one of the "
        "configurations alone."
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def best_of_each(runs: Sequence[Named]) -> tuple[Bar, ...]:
    """Return a bar for the best row of each run that has one: cheapest first where all conditions agree."""
    bars = [
        Bar(
            label=f"{name} · {short_name(run, row)}",
            value=row.usd_per_million,
            low=row.usd_per_million_low,
            high=row.usd_per_million_high,
            text=cost(row).whole + (" tie" if answer(run).kind == "tie" else ""),
            colour=number if number <= MOST_COLOURS else 0,
            best=False,
            baseline=row.backend == BASELINE,
        )
        for number, (name, run) in enumerate(runs, 1)
        for row in run.recommendation.ranking[:1]
        if row.valid and row.usd_per_million is not None
    ]
    alike = all(one.same for one in conditions(runs))
    return tuple(sorted(bars, key=lambda bar: bar.value) if alike else bars)
