"""Record a segment of the tape: python -m benchmarks.gate.record [--minutes 20] [--foreign] [--folder F].

Two servers of the same service, a copy each, take turns as in a gate, in epochs of 16 s: then both are
started anew. Epochs of a service of 1 ms and of one of 10 ms alternate. With --foreign a process works and
rests on the servers' cores meanwhile. Nothing else may run on the machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.gate.services import BODY, foreign_load, service, units_for
from benchmarks.gate.tape import EPOCH_S, FOLDER, SIDES, SUFFIX, Segment, taint_of, write_segment
from modeldyno.base.clock import utc_now
from modeldyno.base.command.console import say
from modeldyno.base.host.facts import host_facts
from modeldyno.base.records.run import ServerSettings
from modeldyno.loadgen.payloads.body import JSON, Payload
from modeldyno.loadgen.standing.blocks import BlockOrder
from modeldyno.loadgen.standing.generator import StandingGenerator
from modeldyno.trials.compare.blocks import Block
from modeldyno.trials.compare.plan import fewest_seconds, plan_blocks, round_order, round_seed
from modeldyno.trials.compare.taint import limits_from
from modeldyno.trials.providers.base import Order
from modeldyno.trials.providers.here import local_provider, served
from modeldyno.trials.rounds.epochs import Epoch, Start, epoch_of_servers
from modeldyno.trials.rounds.turns import Cell, Place, Turns

SERVICES_MS = {"1 ms": 1.0, "10 ms": 10.0}
CELLS = tuple(Cell(side, side) for side in SIDES)
WARMUP = BlockOrder(url="", requests=20, shortest_s=0.5, dropped=1)


@dataclass
class Recorder:
    """Records epochs until the time is over."""

    folder: Path
    minutes: float
    epoch_s: float = EPOCH_S
    seed: int = 0
    units: dict[str, int] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    service_of: list[str] = field(default_factory=list)
    taint: dict[str, dict[str, float]] = field(default_factory=dict)

    def run(self) -> None:
        """Record; whatever is there when it is interrupted is kept by the caller."""
        self.units = {name: units_for(ms / 1000) for name, ms in SERVICES_MS.items()}
        names = list(SERVICES_MS)
        end_s = time.monotonic() + 60 * self.minutes
        with StandingGenerator(Payload(BODY.encode(), JSON)) as generator:
            turns = Turns(generator)
            while time.monotonic() + self.epoch_s < end_s or not self.service_of:
                name = names[len(self.service_of) % len(names)]
                with epoch_of_servers(turns, self._start(name), len(self.service_of)) as epoch:
                    self._epoch(turns, epoch, name)
                say(f"epoch {len(self.service_of)}: {name}, {len(self.blocks)} blocks so far")

    def _start(self, name: str) -> Start:
        provider, shape = local_provider(host_facts(), None)
        orders = {}
        for side in SIDES:
            folder = service(self.folder / name.replace(" ", "") / side, self.units[name])
            log = self.folder / f"{side}.log"
            orders[side] = Order(served(ServerSettings(threads=1)), shape, folder, log, 60.0)
        return Start(provider, orders, CELLS, WARMUP, self.seed)

    def _epoch(self, turns: Turns, epoch: Epoch, name: str) -> None:
        if epoch.failed:
            raise SystemExit(f"a server failed: {epoch.failed}")
        if name not in self.taint:
            self.taint[name] = taint_of(limits_from([turns.idle_readings(0.25) for _ in range(4)]))
        seconds = {each: taken.block.seconds / taken.block.requests for each, taken in epoch.warm.items()}
        # Beside a foreign load an epoch may hold fewer pairs than a gate needs: several are drawn together.
        plan = plan_blocks(seconds, max(EPOCH_S, 1.05 * fewest_seconds(seconds)))
        number, end_s, round_ = len(self.service_of), time.monotonic() + self.epoch_s, 0
        while time.monotonic() < end_s:
            key = 1000 * number + round_
            order = BlockOrder(
                url="",
                requests=plan.requests,
                shortest_s=plan.shortest_s,
                dropped=plan.dropped,
                seed=round_seed(key, self.seed),
            )
            for position, side in enumerate(round_order(SIDES, key, self.seed)):
                cell = CELLS[SIDES.index(side)]
                self.blocks.append(turns.take(cell, order, Place(key, number, position)).block)
            round_ += 1
        self.service_of.append(name)

    def segment(self, *, foreign: bool) -> Segment:
        """What was recorded; of an epoch that was interrupted nothing."""
        head: dict[str, Any] = {
            "host": host_facts().model_dump(mode="json"),
            "recorded_at": utc_now(),
            "services": self.units,
            "service_of": self.service_of,
            "foreign": foreign,
            "epoch_s": self.epoch_s,
            "taint": self.taint,
        }
        return Segment(head, tuple(block for block in self.blocks if block.epoch < len(self.service_of)))


@contextmanager
def _temporary() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="dyno-tape-") as folder:
        yield Path(folder)


def main(arguments: list[str] | None = None) -> None:
    """Record one segment."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.gate.record", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--epoch-s", type=float, default=EPOCH_S, help="seconds of one epoch")
    parser.add_argument("--foreign", action="store_true", help="with a foreign load that comes and goes")
    parser.add_argument("--seed", type=int, default=None, help="of orders and bodies (default: the time)")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    args = parser.parse_args(arguments)
    now = datetime.now().astimezone()
    args.folder.mkdir(parents=True, exist_ok=True)
    path = args.folder / f"{now:%Y-%m-%d-%H%M}{'-foreign' if args.foreign else ''}{SUFFIX}"
    say(f"{args.minutes:g} minutes into {path}")
    with ExitStack() as stack:
        folder = stack.enter_context(_temporary())
        seed = int(now.timestamp()) if args.seed is None else args.seed
        recorder = Recorder(folder, args.minutes, args.epoch_s, seed)
        provider, shape = local_provider(host_facts(), None)
        cores = provider.split(shape)[0]
        stack.enter_context(foreign_load(folder, cores, seed) if args.foreign else nullcontext())
        try:
            recorder.run()
        finally:
            if recorder.service_of:
                write_segment(path, recorder.segment(foreign=args.foreign))
                say(f"{path}: {len(recorder.service_of)} epochs, {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
