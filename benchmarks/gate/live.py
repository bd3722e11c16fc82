"""Rows that are measured live: whole gates of real servers, with and without a foreign load."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.compare.simulate import counted
from benchmarks.gate.services import BODY, foreign_load, service, units_for
from modeldyno.base.command.console import say
from modeldyno.base.errors import ConfigError
from modeldyno.base.host.facts import host_facts
from modeldyno.base.records.gate import GateRecord
from modeldyno.gate.options import GateOptions
from modeldyno.gate.run import gate
from modeldyno.trials.providers.here import local_provider

Row = dict[str, Any]
Sides = tuple[Path, Path, Path]
"""Baseline, candidate, and a folder for what is written."""
SERVICE_S = 0.010
ALARMS = ("regression", "improvement")


def live_alarms(runs: int) -> Iterator[Row]:
    """A service against its copy, p50 and throughput; every second run beside a load that comes and goes."""
    with _sides(0) as sides:
        found: dict[bool, list[GateRecord]] = {False: [], True: []}
        for number in range(runs):
            foreign = number % 2 == 1
            with _beside(sides[2], number) if foreign else nullcontext():
                found[foreign] += _tried(sides, 41.0, number, ("p50_ms=5%", "throughput_rps=5%"))
        for foreign, records in found.items():
            where = "beside a foreign load" if foreign else "quiet"
            alarms = sum(record.verdict in ALARMS for record in records)
            row = {"what": f"live, {where}: alarms", **counted(alarms, max(1, len(records)))}
            refused = len(range(foreign, runs, 2)) - len(records)
            yield {**row, **_course(records), "refused": refused}


def live_quiet(runs: int) -> Iterator[Row]:
    """A service against its copy, p50 alone: how soon it passes."""
    with _sides(0) as sides:
        records = [_gate(sides, 60.0, number) for number in range(runs)]
    passed = sum(record.verdict == "pass" for record in records)
    yield {"what": "live, quiet: passed", **counted(passed, len(records)), **_course(records)}


def live_found(runs: int) -> Iterator[Row]:
    """A candidate whose every request takes 5 % longer."""
    yield _injected("live: +5 %, found", 0.05, runs)


def live_size(runs: int) -> Iterator[Row]:
    """A candidate that is slower by what a gate of this machine states to find 80 % of the time."""
    with _sides(0) as sides:
        first = [_gate(sides, 60.0, 1000 + number) for number in range(3)]
    stated = [record.metrics[0].smallest_found for record in first]
    known = [each for each in stated if each is not None]
    if not known:
        yield {"what": "live: no gate stated a size", "tries": len(first)}
        return
    size = median(known)
    yield {**_injected(f"live: +{size:.2%}, the stated size, found", size, runs), "stated": round(size, 5)}


def _injected(what: str, share: float, runs: int) -> Row:
    with _sides(share) as sides:
        records = [_gate(sides, 60.0, number) for number in range(runs)]
    hits = sum(record.verdict == "regression" for record in records)
    changes = [record.metrics[0].change for record in records if record.metrics[0].change is not None]
    row = {"what": what, **counted(hits, len(records)), **_course(records)}
    return {**row, "median_change": round(median(changes), 5) if changes else None}


@contextmanager
def _sides(slower: float) -> Iterator[Sides]:
    """Two folders of a service of 10 ms; the second takes that share longer, of the whole latency."""
    with tempfile.TemporaryDirectory(prefix="dyno-gates-") as name:
        folder = Path(name)
        (folder / "body.json").write_text(BODY)
        units = units_for(SERVICE_S)
        more = round(slower * _per_share(folder, units)) if slower else 0
        yield service(folder / "a", units), service(folder / "b", units + more), folder


def _per_share(folder: Path, units: int) -> float:
    """Units of work as long as the whole latency, from what a service of one unit takes beside it."""
    sides = service(folder / "one", 1), service(folder / "all", units), folder
    p50 = _gate(sides, 60.0, 999).metrics[0]
    if p50.baseline is None or p50.candidate is None:
        raise SystemExit("the service could not be measured")
    return (units - 1) * p50.candidate / (p50.candidate - p50.baseline)


def _gate(sides: Sides, budget_s: float, seed: int, metrics: tuple[str, ...] = ()) -> GateRecord:
    ours, theirs, folder = sides
    options = GateOptions(
        max_regression=metrics,
        budget_s=budget_s,
        seed=seed,
        force=True,
        payload=str(folder / "body.json"),
        output=folder / "out",
    )
    record = gate(str(ours), str(theirs), options)
    say(f"{seed}: {record.headline} ({record.seconds:.0f} s)")
    return record


def _tried(sides: Sides, budget_s: float, seed: int, metrics: tuple[str, ...]) -> list[GateRecord]:
    """One gate; none where the machine is too slow for 24 pairs of it in the budget."""
    try:
        return [_gate(sides, budget_s, seed, metrics)]
    except ConfigError as error:
        say(f"{seed}: {error}")
        return []


@contextmanager
def _beside(folder: Path, seed: int) -> Iterator[None]:
    provider, shape = local_provider(host_facts(), None)
    with ExitStack() as stack:
        stack.enter_context(foreign_load(folder, provider.split(shape)[0], seed))
        yield


def _course(records: list[GateRecord]) -> Row:
    decided = [record for record in records if record.verdict != "inconclusive"]
    return {
        "inconclusive": len(records) - len(decided),
        "median_s": round(median(record.seconds for record in records), 1) if records else None,
    }
