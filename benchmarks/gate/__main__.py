"""The gate on real servers: python -m benchmarks.gate [--only ROW,...] [--quick] [--tape FOLDER] [--json F].

From the tape (benchmarks/gate/record.py), which nothing else on the machine can disturb any more:
`alarms`      Gates in which nothing differs: how often one cries wolf, with the floor.
`levels`      The test alone, without limit and floor, at 1 and at 10 %.
`found`       +5 % in every request: p50, p95, throughput.
`tails`       p99 of the 1 ms service by the number of requests.
`sizes`       The smallest regression that a gate states, injected.
`peers`       What the rules of the field say on the same tape.

Live, on a machine that does nothing else:
`live-alarms` 30 gates of a service against its copy, half of them beside a load that comes and goes.
`live-quiet`  20 gates of a service against its copy: how soon they pass.
`live-found`  20 gates of a candidate that takes 5 % longer.
`live-size`   20 gates of a candidate slower by the size that gates of this machine state.
`kernels`     30 times a kernel is called again until the inference takes 5 % longer: is it named first?
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gate import live, tape_rows
from benchmarks.gate.kernels import kernels
from benchmarks.gate.tape import FOLDER, epochs, segments
from benchmarks.rows import print_rows
from modeldyno.base.command.console import say
from modeldyno.base.files import write_text
from modeldyno.base.host.facts import host_facts

Row = dict[str, Any]
TRIES, QUICK_TRIES = 5000, 200
QUICK = 10
"""Times fewer live runs with --quick."""


@dataclass(frozen=True)
class TapeRow:
    """Played from the tape; so many of `tries`, and minutes for 5,000 of them."""

    play: Callable[[tape_rows.Tape, int], Iterator[Row]]
    part: float
    minutes: float


@dataclass(frozen=True)
class LiveRow:
    """Measured; so many runs, and minutes that they take on a quiet machine."""

    measure: Callable[[int], Iterator[Row]]
    runs: int
    minutes: float


TAPE_ROWS = {
    "alarms": TapeRow(tape_rows.alarms, 1.0, 8),
    "levels": TapeRow(tape_rows.levels, 1.0, 16),
    "found": TapeRow(tape_rows.found, 0.2, 3),
    "tails": TapeRow(tape_rows.tails, 1.0, 2),
    "sizes": TapeRow(tape_rows.sizes, 1.0, 8),
    "peers": TapeRow(tape_rows.peers_row, 1.0, 1),
}
LIVE_ROWS = {
    "live-alarms": LiveRow(live.live_alarms, 30, 24),
    "live-quiet": LiveRow(live.live_quiet, 20, 10),
    "live-found": LiveRow(live.live_found, 20, 10),
    "live-size": LiveRow(live.live_size, 20, 11),
    "kernels": LiveRow(kernels, 30, 10),
}
NAMES = (*TAPE_ROWS, *LIVE_ROWS)


def main(arguments: list[str] | None = None) -> None:
    """Run the rows that are asked for; the JSON file is written anew after each."""
    parser = argparse.ArgumentParser(prog="benchmarks.gate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(NAMES), help=f"of {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="fewer runs: whether it works at all")
    parser.add_argument("--tries", type=int, help=f"gates a row of the tape (default: {TRIES})")
    parser.add_argument("--tape", type=Path, default=FOLDER)
    parser.add_argument("--json", type=Path, help="also write the rows here")
    args = parser.parse_args(arguments)
    names = [name.strip() for name in args.only.split(",") if name.strip()]
    if unknown := [name for name in names if name not in NAMES]:
        parser.error(f"unknown row {unknown[0]!r}; there are: {', '.join(NAMES)}")
    tries = args.tries or (QUICK_TRIES if args.quick else TRIES)
    say(f"about {sum(_minutes(name, tries, quick=args.quick) for name in names):.0f} minutes")
    tape = _tape(args.tape) if set(names) & set(TAPE_ROWS) else {}
    document: Row = {"host": host_facts().model_dump(), "tries": tries, "epochs": _lengths(tape)}
    for name in names:
        say(f"{name}: about {_minutes(name, tries, quick=args.quick):.0f} minutes")
        began = time.monotonic()
        document[name] = list(_rows(name, tape, tries, quick=args.quick))
        print_rows(f"{name} ({time.monotonic() - began:.0f} s)", document[name])
        if args.json:
            write_text(args.json, json.dumps(document, indent=2) + "\n")


def _rows(name: str, tape: tape_rows.Tape, tries: int, *, quick: bool) -> Iterator[Row]:
    if name in LIVE_ROWS:
        row = LIVE_ROWS[name]
        return row.measure(max(2, row.runs // QUICK) if quick else row.runs)
    played = TAPE_ROWS[name]
    return played.play(tape, max(1, round(played.part * tries)))


def _minutes(name: str, tries: int, *, quick: bool) -> float:
    if name in LIVE_ROWS:
        return LIVE_ROWS[name].minutes / (QUICK if quick else 1) + 0.2
    return TAPE_ROWS[name].minutes * tries / TRIES + 0.1


def _tape(folder: Path) -> tape_rows.Tape:
    found = segments(folder)
    names = dict.fromkeys(name for _, segment in found for name in segment.head["services"])
    tape = {name: epochs(found, name) for name in names}
    say(
        f"the tape: {len(found)} segments, "
        + ", ".join(f"{len(tape[name])} epochs of {name}" for name in tape)
    )
    return {name: each for name, each in tape.items() if each}


def _lengths(tape: tape_rows.Tape) -> dict[str, int]:
    return {name: len(each) for name, each in tape.items()}


if __name__ == "__main__":
    main()
