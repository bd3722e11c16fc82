"""Looks at a running load test and ends it when a stop rule is met.

The generator writes down what has ended, about once a second; its parent does the sums here, so that they
take no time from the requests. Percentiles are those of the requests themselves. A request that is still
under way is not seen, however long it takes: a threshold may be passed a little before it is noticed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from modeldyno.base.files import write_text
from modeldyno.base.records.load import Stop
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.record import Estimate
from modeldyno.loadgen.generator.progress import CLOCK, FAILED
from modeldyno.loadgen.spec.stages import Stage
from modeldyno.loadgen.spec.stop_rules import Evidence, Rule, flat, met, parse_rules
from modeldyno.loadgen.stats.intervals import SLICES, Ints, throughput_estimate
from modeldyno.loadgen.stats.recording import US_PER_S
from modeldyno.loadgen.stats.summary import slice_numbers

MORE = 1.02
"""It looks again when so many times as many requests have ended, or a stage is over."""


class StopWatch:
    """Reads the stream of one test."""

    def __init__(self, spec: LoadSpec, stream: Path, stop_file: Path) -> None:
        self._rules = parse_rules(spec.stop_when)
        self._stream, self._stop_file = stream, stop_file
        self._window_us = round(spec.warmup_s * US_PER_S), round((spec.warmup_s + spec.longest_s) * US_PER_S)
        self._offset, self._clock_us = 0, 0
        self._start_us: list[Ints] = []
        self._latency_us: list[Ints] = []
        self._ended = self._looked_at = self.looks = 0
        self._rates: dict[str, Estimate] = {}
        self._closed = False
        self.stop: Stop | None = None

    def close(self) -> None:
        """The test ends anyway: no rule ends it any more."""
        self._closed = True

    def look(self, stages: Sequence[Stage] = ()) -> None:
        """Read what is new, and end the test when a rule is met; call it often."""
        if self._closed or self.stop or not self._rules or not self._read():
            return
        fresh = [stage for stage in self._over(stages) if stage.name not in self._rates]
        if not fresh and self._ended < MORE * self._looked_at:
            return
        self._looked_at = self._ended
        self.looks += 1
        for stage in fresh:
            self._rates[stage.name] = self._rate(stage)
        for rule, where, why in self._verdicts(stages, fresh):
            if why is not None:
                self._end(rule, where, why)
                return

    def _verdicts(
        self, stages: Sequence[Stage], fresh: Sequence[Stage]
    ) -> Iterator[tuple[Rule, str, str | None]]:
        for rule in self._rules:
            if rule.kind == "flat":
                yield rule, "", flat(rule, list(self._rates.values()))
            elif rule.kind == "requests" or not stages:
                yield rule, "", met(rule, self._evidence(self._window_us, over=False))
            else:
                for stage in (*fresh, *self._current(stages)):
                    window_us = round(stage.counted_from_s * US_PER_S), round(stage.end_s * US_PER_S)
                    seen = self._evidence(window_us, over=stage in fresh)
                    yield rule, f" in {stage.name}", met(rule, seen)

    def _end(self, rule: Rule, where: str, why: str) -> None:
        self.stop = Stop(rule=rule.text, why=why + where, at_s=self._clock_us / US_PER_S, looks=self.looks)
        write_text(self._stop_file, rule.text)

    def _over(self, stages: Sequence[Stage]) -> list[Stage]:
        return [stage for stage in stages if stage.end_s * US_PER_S <= self._clock_us]

    def _current(self, stages: Sequence[Stage]) -> list[Stage]:
        now_s = self._clock_us / US_PER_S
        return [stage for stage in stages if stage.counted_from_s < now_s < stage.end_s]

    def _evidence(self, window_us: tuple[int, int], *, over: bool) -> Evidence:
        start_us, latency_us = self._all()
        first, end = window_us[0], min(window_us[1], max(self._clock_us, window_us[0] + 1))
        inside = (start_us >= first) & (start_us < end)
        failed = latency_us == FAILED
        chosen = inside & ~failed
        return Evidence(
            (first, end), start_us[chosen], latency_us[chosen], int((inside & failed).sum()), over
        )

    def _rate(self, stage: Stage) -> Estimate:
        start_us, latency_us = self._all()
        window_us = round(stage.counted_from_s * US_PER_S), round(stage.end_s * US_PER_S)
        ends = (start_us + latency_us)[latency_us != FAILED]
        ends = ends[(ends >= window_us[0]) & (ends < window_us[1])]
        counts = np.bincount(slice_numbers(ends, window_us), minlength=SLICES)
        return throughput_estimate(counts, (window_us[1] - window_us[0]) / US_PER_S)

    def _all(self) -> tuple[Ints, Ints]:
        self._start_us = [np.concatenate(self._start_us)]
        self._latency_us = [np.concatenate(self._latency_us)]
        return self._start_us[0], self._latency_us[0]

    def _read(self) -> bool:
        try:
            with self._stream.open("rb") as stream:
                stream.seek(self._offset)
                data = stream.read()
        except FileNotFoundError:
            return False
        data = data[: len(data) // 16 * 16]
        self._offset += len(data)
        pairs = np.frombuffer(data, np.int64).reshape(-1, 2)
        clocks = pairs[:, 1] == CLOCK
        if not clocks.any():
            return False
        self._clock_us = int(pairs[clocks][-1, 0])
        self._start_us.append(pairs[~clocks, 0])
        self._latency_us.append(pairs[~clocks, 1])
        self._ended += int((~clocks).sum())
        return True
