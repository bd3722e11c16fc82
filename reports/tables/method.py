"""How a run measured, and how to run it again."""

from __future__ import annotations

from collections.abc import Iterator

from modeldyno.base.units import short_duration
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.results.series import tags
from modeldyno.reports.text import phrases
from modeldyno.reports.text.digits import count, share

Facts = tuple[tuple[str, str], ...]


def method(run: Run) -> Facts:
    """Say in what turns the candidates were measured, and what was left out."""
    return tuple(_facts(run))


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    how = run.recommendation.comparison
    if how is None:
        yield "order", "one candidate after another, each in load tests of its own"
        yield "told apart by", "95 % intervals of the cost that do not overlap"
        return
    yield "order", "candidates took turns under load, a moment each, in rounds of drawn order"
    yield (
        "told apart by",
        "cost against the best of the others, within each round; 95 % intervals of all at once",
    )
    yield "screening", f"{count(how.screening_rounds, 'round')} with every candidate"
    if how.finalists:
        yield (
            "finals",
            f"{count(how.rounds, 'round')} in fresh processes, of {_finalists(run, how.finalists)}",
        )
    yield "starts", f"{count(how.starts, 'start')} of each finalist"
    yield (
        "starts differ by",
        f"{share(how.spread_of_starts)} (standard deviation of a ratio; in every interval)",
    )
    yield (
        "other work on the machine",
        f"in {how.tainted_rounds} of {count(how.rounds, 'round')}; such rounds are left out where enough "
        "others remain",
    )
    yield from (("one machine here", phrases.said(same.text)) for same in run.recommendation.same_machines)
    yield "time under load", short_duration(how.seconds)


def _finalists(run: Run, keys: tuple[str, ...]) -> str:
    by_key = {row.trial: tag for tag, row in tags(run)}
    return ", ".join(by_key.get(key, key) for key in keys)


def command(run: Run) -> str:
    """Give the command that measures anew."""
    job = " --job job.yaml" if run.job else ""
    return f"dyno recommend {_quoted(run.recommendation.model)}{job} -o run"


def _quoted(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").replace(".", "").isalnum() else f"'{name}'"
