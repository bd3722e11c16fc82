"""`dyno gate --self-test TIMES`: one side against a copy of itself, many times.

Nothing differs, so every regression and every improvement is a false alarm of this machine. What starts
differ by is kept, and is the floor of the gates that come after (`gate.live.spread`).
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from modeldyno.base.clock import utc_now
from modeldyno.base.errors import ConfigError
from modeldyno.base.exit_codes import ANSWER_IS_NO, DONE, NOT_DECIDED
from modeldyno.base.files import mapped_output_errors
from modeldyno.base.host.facts import host_facts
from modeldyno.base.records.fields import Field
from modeldyno.base.records.gate import GateRecord
from modeldyno.base.records.record import HostFacts, Record, read_record, write_record
from modeldyno.gate.live.keep import BLOCKS_FILE, GATE_FILE
from modeldyno.gate.live.rounds import BASELINE, CANDIDATE, OVERRUN, cell_of
from modeldyno.gate.live.spread import KnownSpread, keep_spread
from modeldyno.gate.options import DEFAULT_BUDGET_AT_A_RATE_S, DEFAULT_BUDGET_S, GateOptions
from modeldyno.gate.run import gate
from modeldyno.gate.sides.record import Side
from modeldyno.gate.sides.resolve import resolve
from modeldyno.loadgen.stats.intervals import share_interval
from modeldyno.trials.compare.blocks import pairs_of
from modeldyno.trials.compare.flips.statistic import TrimmedMean
from modeldyno.trials.compare.metrics import P50, THROUGHPUT, statistic_of
from modeldyno.trials.compare.records import BlockRecord, block_of
from modeldyno.trials.compare.starts import Spread, Start, between_starts, starts_of

SELF_TEST_FILE, COPY, STEPS = "self-test.json", "copy", "comparisons"
AROUND_S = 6.0
"""What a comparison takes beside its budget."""
Tell = Callable[[str], None]


class SelfTestRecord(Record):
    """How often a machine cries wolf, and what it can tell apart."""

    schema_version: int = 1
    created_at: str
    reference: str
    digest: str = Field(description="of the side that was compared with itself")
    comparisons: int
    alarms: int = Field(description="that found a regression or an improvement, though nothing differs")
    inconclusive: int
    alarm_rate: float
    alarm_low: float = Field(description="95 % interval of the rate (Clopper and Pearson)")
    alarm_high: float
    between_starts: float | None = Field(description="standard deviation of the log ratio; null: not known")
    starts: int = Field(description="of both sides, that tell it")
    smallest_found: float | None = Field(
        description="median over the comparisons of the regression that is found 80 % of the time"
    )
    median_s: float = Field(description="seconds that a comparison took")
    host: HostFacts


def self_test_command(options: GateOptions, tell: Tell) -> int:
    """Test this machine, print what was found, and give the exit code."""
    record = self_test(options, tell)
    click.echo(record.model_dump_json(indent=2) if options.as_json else "\n".join(lines(record)))
    if record.inconclusive == record.comparisons:
        return NOT_DECIDED
    return ANSWER_IS_NO if record.alarm_low > options.alpha else DONE


def self_test(options: GateOptions, tell: Tell = lambda _: None) -> SelfTestRecord:
    """Compare a side with a copy of itself; comparisons of an earlier run in the same folder are kept.

    Raises:
        ConfigError: no such side, numbers alone, or a budget too small.
        ServerError, LoadTestError: it can't be measured.
    """
    times = options.self_test or 2
    side = resolve(options.baseline or "", options.store, {"threads": options.threads})
    if side.kind == "saved run":
        raise ConfigError(f"{side.reference} is numbers alone, which can't be measured", field="baseline")
    copy = _copy(side, options.output)
    most_s = OVERRUN * _budget_s(options) + AROUND_S
    tell(f"{times} comparisons, at most {times * most_s / 60:.0f} minutes; what is done is kept")
    done = _Comparing(options, copy, side, tell)
    records = [done.comparison(number) for number in range(times)]
    found = _found(options, side, records)
    write_record(options.output / SELF_TEST_FILE, found)
    if found.between_starts is not None and found.starts > 1:
        known = KnownSpread(
            created_at=found.created_at, sd=found.between_starts, freedoms=found.starts - 1, host=found.host
        )
        tell(f"what starts differ by is kept in {keep_spread(known)}")
    return found


def lines(record: SelfTestRecord) -> Iterator[str]:
    """What was found, for a person."""
    ends = f"{100 * record.alarm_low:.2g} to {100 * record.alarm_high:.2g}"
    yield (
        f"false alarms: {record.alarms} in {record.comparisons} comparisons of {record.reference} with "
        f"itself: {100 * record.alarm_rate:.3g} % ({ends})"
    )
    if record.inconclusive:
        yield f"{record.inconclusive} were not decided: a larger --budget decides more"
    if record.between_starts is not None:
        yield (
            f"starts differ by {100 * record.between_starts:.2g} % (standard deviation over {record.starts} "
            f"starts): less than {200 * record.between_starts:.2g} % is no regression here"
        )
    if record.smallest_found is not None:
        yield f"a regression of {100 * record.smallest_found:.2g} % is found 80 % of the time"
    yield f"a comparison took {record.median_s:.0f} s"


@dataclass
class _Comparing:
    options: GateOptions
    copy: str
    side: Side
    tell: Tell

    def comparison(self, number: int) -> GateRecord:
        """One comparison, in a folder of its own; one that is there of the same side is not made again."""
        output = self.options.output / STEPS / f"{number:03}"
        if (kept := self._kept(output / GATE_FILE)) is not None:
            return kept
        chosen = replace(
            self.options, force=True, seed=self.options.seed + number, output=output, self_test=None
        )
        record = gate(self.options.baseline or "", self.copy, chosen, tell=lambda _: None)
        self.tell(f"{number + 1}: {record.headline}")
        return record

    def _kept(self, path: Path) -> GateRecord | None:
        if not path.exists():
            return None
        record = read_record(path, GateRecord)
        same = record.baseline.digest == record.candidate.digest or self.side.url is not None
        return record if same and record.baseline.reference == self.side.reference else None


def _found(options: GateOptions, side: Side, records: Sequence[GateRecord]) -> SelfTestRecord:
    alarms = sum(record.verdict in ("regression", "improvement") for record in records)
    low, high = share_interval(alarms, len(records))
    folders = [options.output / STEPS / f"{number:03}" for number in range(len(records))]
    starts = [start for folder in folders for start in starts_in(folder)]
    spread = between_starts([starts], Spread(0.0, 0)) if len(starts) > 1 else None
    smallest = [
        each.smallest_found
        for record in records
        for each in record.metrics[:1]
        if each.smallest_found is not None
    ]
    return SelfTestRecord(
        created_at=utc_now(),
        reference=side.reference,
        digest=side.digest,
        comparisons=len(records),
        alarms=alarms,
        inconclusive=sum(record.verdict == "inconclusive" for record in records),
        alarm_rate=alarms / len(records),
        alarm_low=low,
        alarm_high=high,
        between_starts=None if spread is None else spread.sd,
        starts=len(starts),
        smallest_found=statistics.median(smallest) if smallest else None,
        median_s=statistics.median(record.seconds for record in records),
        host=host_facts(),
    )


def starts_in(folder: Path) -> tuple[Start, ...]:
    """What each start of a comparison says of the ratio of both sides; starts of few pairs are left out."""
    lines_ = (folder / BLOCKS_FILE).read_text(encoding="utf-8").splitlines()
    blocks = [block_of(BlockRecord.model_validate_json(line)) for line in lines_]
    for metric in (P50, THROUGHPUT):
        pairs = pairs_of(blocks, f"{BASELINE} {cell_of(metric)}", f"{CANDIDATE} {cell_of(metric)}")
        if pairs:
            statistic = statistic_of(metric, pairs)
            assert isinstance(statistic, TrimmedMean)  # noqa: S101 - both are
            return starts_of(statistic.values, [pair.epoch for pair in pairs])
    return ()


def _copy(side: Side, output: Path) -> str:
    """A copy of what lies in files, so that not even the page cache is shared; of a URL itself."""
    if side.path is None:
        return side.reference
    target = output / COPY / side.path.name
    with mapped_output_errors(output):
        shutil.rmtree(output / COPY, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        if side.path.is_dir():
            shutil.copytree(side.path, target)
        else:
            for each in side.path.parent.glob(f"{side.path.name}*"):
                shutil.copy2(each, target.parent)
    return str(target)


def _budget_s(options: GateOptions) -> float:
    return options.budget_s or (DEFAULT_BUDGET_S if options.rate_rps is None else DEFAULT_BUDGET_AT_A_RATE_S)
