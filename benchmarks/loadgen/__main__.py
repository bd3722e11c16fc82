"""The load generator against the truth: python -m benchmarks.loadgen [--sections ...] [--quick] [--json F].

`intervals`  How often the 95 % intervals hold the truth, simulated: 2,000 samples of M/M/1 at four loads, and
             of independent requests, where they must not be much wider than those need be.
`md1` `mm1`  Poisson arrivals at a server with one place and a known service time, M/D/1 and M/M/1: measured
             mean, p50, p90 and p99 beside the very same arrivals computed without a network (Lindley's
             recursion: the difference is the generator's and the server's own) and beside the formula (the
             difference between the two truths is chance: that run's sample). Each is held against the
             formula as measured, where chance is allowed for, and with that chance taken out. By the
             server's own log, what the generator and what the server adds to each request is told apart. A
             closed loop of one user on the same server is beside it, with how far it is off.
`stall`      The server stands still for a second. An open loop sees it in p99 as theory says, a closed loop
             does not.
`coverage`   How many of the runs' 95 % intervals hold the formula's p50, p90 and p99.
`capacity`   The highest rate at which every worker keeps its schedule, for one worker, two, four, ...
`added`      What the generator adds to a request, one connection: its p50 beside wrk's, in turns (needs wrk).

The server runs on the last core, the generator on the others. Nothing else should run meanwhile: a busy core
shows as lateness, of the generator and of the server, which is told beside each row; a row whose load test is
void says so. All of it takes some 9 minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.loadgen.intervals import intervals_section
from benchmarks.loadgen.limits import added_section, capacity_section
from benchmarks.loadgen.sections import Row, coverage_section, md1_section, mm1_section, stall_section
from modeldyno.base.command.console import print_table, say
from modeldyno.base.files import write_text
from modeldyno.base.host.facts import host_facts

SECTIONS: dict[str, Callable[[bool], list[Row]]] = {
    "intervals": intervals_section,
    "md1": md1_section,
    "mm1": mm1_section,
    "stall": stall_section,
    "coverage": coverage_section,
    "capacity": capacity_section,
    "added": added_section,
}
QUEUES = {"md1", "mm1"}
LONG = {"warnings", "verdicts", "steps", "invalid_reasons"}


def main(arguments: list[str] | None = None) -> None:
    """Run the sections that are asked for; the JSON file is written anew after each."""
    parser = argparse.ArgumentParser(prog="benchmarks.loadgen", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sections", default=",".join(SECTIONS), help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--quick", action="store_true", help="short runs: to see that it works, not to quote")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    args = parser.parse_args(arguments)
    names = [name.strip() for name in args.sections.split(",") if name.strip()]
    if unknown := [name for name in names if name not in SECTIONS]:
        parser.error(f"unknown section {unknown[0]!r}; there are: {', '.join(SECTIONS)}")
    document: Row = {"host": host_facts().model_dump(), "quick": args.quick}
    for name in names:
        say(f"{name} ...")
        document[name] = SECTIONS[name](args.quick)
        if args.json:
            write_text(args.json, json.dumps(document, indent=2) + "\n")
        _print(name, document[name])


def _print(name: str, rows: list[Row]) -> None:
    print(f"\n{name}")
    flat = [_flat_queue(row) if name in QUEUES else row for row in rows]
    if flat:
        columns = [key for key in flat[0] if key not in LONG]
        print_table(columns, [[_shown(row[key]) for key in columns] for row in flat], right=columns[1:])
    verdicts = [
        (one["goal"], one["found"], ("met" if one["met"] else "NOT MET") + _void(row))
        for row in rows
        for one in row.get("verdicts", ())
    ]
    if verdicts:
        print()
        print_table(("goal", "found", "verdict"), verdicts)


def _void(row: Row) -> str:
    return " (void)" if row.get("valid") is False else ""


def _flat_queue(row: Row) -> Row:
    """Give each figure as measured, same arrivals, formula."""
    figures = {
        name: f"{row['measured_ms'][name]:.2f} / {row['same_arrivals_ms'][name]:.2f} / {value:.2f}"
        for name, value in row["formula_ms"].items()
        if row["measured_ms"][name] is not None
    }
    kept = {key: row[key] for key in ("queue", "load", "rate_rps", "samples")}
    parts = {
        name: ", ".join(f"{value:.3f}" for value in row[key].values())
        for name, key in (
            ("sent late mean, p50, p99", "sent_late_ms"),
            ("generator adds", "generator_adds_ms"),
            ("server late", "server_late_ms"),
        )
    }
    closed = {
        f"closed {name}": f"{value:.2f} ({row['closed_loop_off'][name]:+.0%})"
        for name, value in row["closed_loop_ms"].items()
        if name in ("mean", "p99") and value is not None
    }
    return {
        **kept,
        **figures,
        **parts,
        **closed,
    }


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(each)}" for key, each in value.items())
    return str(value)


if __name__ == "__main__":
    main(sys.argv[1:])
