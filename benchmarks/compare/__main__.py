"""Side-by-side comparison by simulation: python -m benchmarks.compare [--only ROW] [--tries N] [--json F].

What the method of docs/side-by-side.md promises where the truth is known. It says what to expect, and proves
nothing about a real machine: `python -m benchmarks.gate` is for that.

`estimators`  What mean, trimmed mean and median find of +5 % where blocks are disturbed.
`groups`      Pairs against groups of four blocks (ABBA).
`errors`      Standard errors of the trimmed mean: by flips, by winsorised squares, by the bootstrap.
`quantiles`   How far out Student's quantiles hold for it.
`coverage`    How often intervals hold the truth.
`tails`       What is found of p95 and p99, by the number of requests.
`alarms`      How often two sides that do not differ are called a regression, with and without the floor.
`power`       How often +5 % is found, and after how many seconds of a budget of 60.
`sizes`       The smallest regression that a run states, and how often that size is found.
`rankings`    How often all intervals against the best hold at once, and a winner is named.
`speed`       How long one look takes.

With 1,000 tries all of it takes some 8 minutes on one core that has nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compare.errors import errors, quantiles
from benchmarks.compare.gates import alarms, power, sizes
from benchmarks.compare.ranks import rankings
from benchmarks.compare.simulate import DISTURBED, pair_ratios, served_pairs
from benchmarks.compare.single import coverage, estimators, groups, tails
from benchmarks.rows import print_rows
from modeldyno.base.command.console import say
from modeldyno.base.files import write_text
from modeldyno.base.host.facts import host_facts
from modeldyno.trials.compare.flips.signs import Signs
from modeldyno.trials.compare.flips.statistic import TrimmedMean
from modeldyno.trials.compare.looks.sequential import Limit, Progress, look
from modeldyno.trials.compare.metrics import statistic_of

Row = dict[str, Any]
TRIES = 1000
MINUTES = 15


def speed(tries: int) -> Iterator[Row]:
    """One look at 100 pairs with 10,000 sign vectors, and the interval; least CPU milliseconds of several."""
    signs, rng = Signs(0), np.random.default_rng(0)
    served = served_pairs(rng, 100, 100)
    statistics = {
        "p50_ms": TrimmedMean(tuple(range(100)), pair_ratios(rng, DISTURBED, 100)),
        "p99_ms": statistic_of("p99_ms", served),
    }
    for metric, statistic in statistics.items():
        looks, ends = [], []
        for _ in range(min(tries, 20)):
            began = time.process_time()
            progress = look(Progress(), {metric: statistic}, signs, 0.67, {metric: Limit()})
            seen = time.process_time()
            _ = progress.latest[metric].ends
            looks.append(1000 * (seen - began))
            ends.append(1000 * (time.process_time() - seen))
        yield {"what": metric, "look_ms": round(min(looks), 1), "interval_ms": round(min(ends), 1)}


SECTIONS: dict[str, Callable[[int], Iterator[Row]]] = {
    "estimators": estimators,
    "groups": groups,
    "errors": errors,
    "quantiles": quantiles,
    "coverage": coverage,
    "tails": tails,
    "alarms": alarms,
    "power": power,
    "sizes": sizes,
    "rankings": rankings,
    "speed": speed,
}


def main(arguments: list[str] | None = None) -> None:
    """Run the sections that are asked for; the JSON file is written anew after each."""
    parser = argparse.ArgumentParser(prog="benchmarks.compare", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"of {', '.join(SECTIONS)}")
    parser.add_argument(
        "--tries", type=int, default=TRIES, help="simulated runs a row (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, help="also write the rows here")
    args = parser.parse_args(arguments)
    names = [name.strip() for name in args.only.split(",") if name.strip()]
    if unknown := [name for name in names if name not in SECTIONS]:
        parser.error(f"unknown section {unknown[0]!r}; there are: {', '.join(SECTIONS)}")
    say(f"at most {MINUTES * args.tries / TRIES:.0f} minutes")
    document: Row = {"host": host_facts().model_dump(), "tries": args.tries}
    for name in names:
        began = time.monotonic()
        document[name] = list(SECTIONS[name](args.tries))
        print_rows(f"{name} ({time.monotonic() - began:.0f} s)", document[name])
        if args.json:
            write_text(args.json, json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
