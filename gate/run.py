"""The whole of `dyno gate` as one function."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice

from modeldyno.base.files import mapped_output_errors
from modeldyno.base.records.gate import GateLoad, GateMetric, GateRecord, GateWarning, OutputsCompared
from modeldyno.base.records.record import write_record
from modeldyno.gate.exact.errors import Counts, error_metric
from modeldyno.gate.exact.facts import facts_of
from modeldyno.gate.exact.outputs import outputs_of
from modeldyno.gate.exact.rules import exact_metrics
from modeldyno.gate.explain.profiles import ProfileRounds, explain
from modeldyno.gate.limits import ERROR_RATE, STARTUP, GateLimits, check_elsewhere, check_load, read_limits
from modeldyno.gate.live.judged import metrics, warnings
from modeldyno.gate.live.keep import GATE_FILE, PROFILES, kept_blocks
from modeldyno.gate.live.of_saved import against_numbers
from modeldyno.gate.live.rounds import BASELINE, CANDIDATE, OVERRUN, Course, GateOrder, measure
from modeldyno.gate.live.setting import Setting, bodies_for, check_sides, setting_of, threads_of, users_of
from modeldyno.gate.live.spread import known_spread
from modeldyno.gate.live.startup import startup_metric
from modeldyno.gate.options import DEFAULT_BUDGET_AT_A_RATE_S, DEFAULT_BUDGET_S, GateOptions
from modeldyno.gate.record import (
    Found,
    Sides,
    command_of,
    exit_code,
    headline,
    of_urls,
    record_of,
    with_course,
)
from modeldyno.gate.sides.resolve import resolve
from modeldyno.loadgen.payloads.body import Payload
from modeldyno.loadgen.payloads.files import Mix
from modeldyno.trials.compare.blocks import Block
from modeldyno.trials.rounds.epochs import Epoch

MOST_COMPARED = 8
"""Bodies that both sides answer once, to be compared."""

Tell = Callable[[str], None]


def gate(
    baseline: str, candidate: str, options: GateOptions | None = None, *, tell: Tell = lambda _: None
) -> GateRecord:
    """Judge a candidate against its baseline, both measured side by side.

    What was measured lies in `options.output` as soon as it is: every block, and gate.json at the end.
    Whatever was started is gone on return, also when interrupted.

    Raises:
        ConfigError: a reference is none, a metric does not exist, or the budget is too small for 24 pairs.
        ModelError, ArtifactError: a side is damaged. ServerError: a side can't be started, or dies.
        LoadTestError: a side answers nothing. OutputError: `options.output` can't be written.
    """
    chosen = options or GateOptions(baseline=baseline, candidate=candidate)
    return _Gate(replace(chosen, baseline=baseline, candidate=candidate), tell).run()


@dataclass
class _Gate:
    """One gate at work."""

    options: GateOptions
    tell: Tell
    began_s: float = field(default_factory=time.monotonic)
    outputs: OutputsCompared | None = None

    def run(self) -> GateRecord:
        options = self.options
        limits = read_limits(options.max_regression, options.ignore_below, known_spread())
        check_load(limits, options.rate_rps, options.users)
        sides = self._sides()
        record = self._judged(sides, limits)
        with mapped_output_errors(options.output):
            options.output.mkdir(parents=True, exist_ok=True)
        write_record(options.output / GATE_FILE, record)
        return record

    def _sides(self) -> Sides:
        options = self.options
        settings = {"threads": options.threads, "workers": options.workers}
        baseline = resolve(options.baseline or "", options.store, settings)
        candidate = resolve(options.candidate or "", options.store, settings)
        check_sides(baseline, candidate)
        return Sides(baseline, candidate)

    def _judged(self, sides: Sides, limits: GateLimits) -> GateRecord:
        options = self.options
        if sides.baseline.digest == sides.candidate.digest and not options.force:
            return self._record(sides, Found([_equal(limits)]))
        if sides.baseline.kind == "saved run":
            found, told = against_numbers(*sides.both, limits, options, self._budget_s())
            return self._settled(self._record(sides, Found(found, told)), sides)
        if sides.baseline.url is not None:
            check_elsewhere(limits)
        rules = {name: share for name, share in limits.exact.items() if name != ERROR_RATE}
        exact = exact_metrics(facts_of(sides.baseline), facts_of(sides.candidate), rules)
        if limits.startup is not None:
            exact = (self._startup(sides, limits), *exact)
        if not limits.measured and ERROR_RATE not in limits.exact:
            return self._record(sides, Found(exact))
        return self._measured(sides, limits, exact)

    def _startup(self, sides: Sides, limits: GateLimits) -> GateMetric:
        assert limits.startup is not None  # noqa: S101 - asked before
        where = setting_of({BASELINE: sides.baseline, CANDIDATE: sides.candidate}, self.options)
        with mapped_output_errors(self.options.output):
            (self.options.output / "logs").mkdir(parents=True, exist_ok=True)
        alpha = self.options.alpha * limits.startup_part
        return startup_metric(where, limits.startup, alpha, self.options.seed, self.tell)

    def _measured(self, sides: Sides, limits: GateLimits, exact: tuple[GateMetric, ...]) -> GateRecord:
        where = setting_of({BASELINE: sides.baseline, CANDIDATE: sides.candidate}, self.options)
        if self.options.payload is None:
            self.tell("asking the baseline for its inputs")
        bodies = bodies_for(where, BASELINE, self.options)
        self.tell(f"measuring for at most {OVERRUN * self._budget_s():.0f} s; a clear answer comes sooner")
        with kept_blocks(self.options.output) as keep:
            order = self._order(where, bodies, limits, keep)
            course = measure(order, lambda epoch: self._compare_outputs(epoch, bodies))
        told = list(warnings(course, order))
        if sides.baseline.digest == sides.candidate.digest:
            told.append(GateWarning(rank="note", text="both sides are the same to the last byte"))
        counted = [each for each in metrics(course, order) if each.metric in limits.measured or _shown(each)]
        before, now = ([_counts(course, side)] for side in SIDES)
        failed = error_metric(before, now, limits.exact.get(ERROR_RATE))
        found = Found([*counted, failed, *exact], told, self.outputs)
        return self._settled(with_course(self._record(sides, found), course, order), sides)

    def _order(
        self, where: Setting, bodies: Mix, limits: GateLimits, keep: Callable[[Block], None]
    ) -> GateOrder:
        options = self.options
        return GateOrder(
            provider=where.provider,
            orders=where.orders,
            cores=where.cores,
            payload=bodies,
            users=users_of(options),
            throughput_users=2 * options.workers,
            limits=limits.measured or read_limits((), ()).measured,
            budget_s=self._budget_s(),
            alpha=options.alpha * (1 - limits.startup_part),
            seed=options.seed,
            timeout_s=options.timeout_s,
            rate_rps=options.rate_rps,
            epochs=where.here,
            tell=self.tell,
            keep=keep,
        )

    def _compare_outputs(self, epoch: Epoch, bodies: Mix) -> None:
        urls = [epoch.servers[side].url for side in SIDES]
        self.outputs = outputs_of(urls[0], urls[1], first_bodies(bodies))

    def _settled(self, record: GateRecord, sides: Sides) -> GateRecord:
        """Void measurements decide nothing, nor do servers of others; a regression is explained."""
        verdict = record.verdict
        sure = any(each.exact and each.verdict == "regression" for each in record.metrics)
        if any(each.rank == "void" for each in record.warnings) and not sure:
            verdict = "inconclusive"
        if sides.baseline.url is not None:
            verdict = of_urls(verdict, self.options)
        found = Found(record.metrics, record.warnings, record.outputs)
        changed = {
            "verdict": verdict,
            "exit_code": exit_code(verdict, self.options),
            "headline": headline(verdict, found),
        }
        record = record.model_copy(update=changed)
        return self._explained(record, sides) if verdict == "regression" else record

    def _explained(self, record: GateRecord, sides: Sides) -> GateRecord:
        """Which kernels and fields make the difference, where something was measured to be slower."""
        worse = [each for each in record.metrics if each.verdict == "regression"]
        if sides.baseline.url is not None or all(each.exact or each.metric == STARTUP for each in worse):
            return record
        self.tell("profiling both sides: what makes the difference")
        folder = self.options.output / PROFILES
        with mapped_output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        found = explain(*sides.both, folder, ProfileRounds(threads=threads_of(self.options)))
        note = [GateWarning(rank="note", text=f"no kernel is named: {found.reason}")] if found.reason else []
        return record.model_copy(
            update={
                "kernels": found.kernels,
                "fields": found.fields,
                "warnings": (*record.warnings, *note),
                "seconds": round(time.monotonic() - self.began_s, 2),
            }
        )

    def _budget_s(self) -> float:
        default_s = DEFAULT_BUDGET_S if self.options.rate_rps is None else DEFAULT_BUDGET_AT_A_RATE_S
        return self.options.budget_s or default_s

    def _record(self, sides: Sides, found: Found) -> GateRecord:
        options = self.options
        load = GateLoad(
            users=users_of(options) if options.rate_rps is None else None,
            rate_rps=options.rate_rps,
            payload=options.payload or "random tensors for the model's inputs",
            cpus=options.cpus or (),
            budget_s=self._budget_s(),
            alpha=options.alpha,
            seed=options.seed,
        )
        found = replace(found, command=command_of(options))
        return record_of(sides, load, found, options, time.monotonic() - self.began_s)


SIDES = (BASELINE, CANDIDATE)


def first_bodies(mix: Mix) -> list[Payload]:
    """Bodies of every kind, MOST_COMPARED at most."""
    return list(islice((body for kind in mix.kinds for body in kind.bodies), MOST_COMPARED))


def _counts(course: Course, side: str) -> Counts:
    answered = sum(block.requests for block in course.blocks if block.candidate.startswith(side))
    return Counts(answered + course.errors[side], course.errors[side])


def _shown(metric: GateMetric) -> bool:
    return metric.max_regression is None


def _equal(limits: GateLimits) -> GateMetric:
    name = next(iter([*limits.measured, *limits.exact]))
    return GateMetric(
        metric=name, exact=True, verdict="pass", text="unchanged: both sides are the same to the last byte"
    )
