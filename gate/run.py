"""The whole of `dyno gate` as one function."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from modeldyno.base.command.shape_flag import fixed_shapes
from modeldyno.base.errors import ConfigError
from modeldyno.base.files import mapped_output_errors
from modeldyno.base.host.facts import host_facts
from modeldyno.base.records.gate import GateLoad, GateMetric, GateRecord, GateWarning
from modeldyno.base.records.record import write_record
from modeldyno.base.records.run import ServerSettings
from modeldyno.gate.limits import GateLimits, check_load, read_limits
from modeldyno.gate.live.judged import metrics, warnings
from modeldyno.gate.live.rounds import BASELINE, CANDIDATE, GateOrder, measure
from modeldyno.gate.options import DEFAULT_BUDGET_AT_A_RATE_S, DEFAULT_BUDGET_S, GateOptions
from modeldyno.gate.record import Found, Sides, exit_code, headline, of_urls, record_of, with_course
from modeldyno.gate.sides.record import Side
from modeldyno.gate.sides.resolve import resolve
from modeldyno.loadgen.payloads.files import Mix, read_mix, single
from modeldyno.loadgen.server.signature import payload_from_server
from modeldyno.trials.compare.blocks import Block
from modeldyno.trials.compare.records import block_record
from modeldyno.trials.providers.base import Order, Provider
from modeldyno.trials.providers.here import Elsewhere, local_provider, served, this_machine

GATE_FILE, BLOCKS_FILE = "gate.json", "blocks.jsonl"
STARTUP_TIMEOUT_S = 120.0

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
    work = _Gate(replace(chosen, baseline=baseline, candidate=candidate), tell)
    return work.run()


@dataclass(frozen=True)
class _Setting:
    """Where both sides run."""

    provider: Provider
    orders: dict[str, Order]
    cores: tuple[int, ...]
    epochs: bool


@dataclass
class _Gate:
    """One gate at work."""

    options: GateOptions
    tell: Tell
    began_s: float = field(default_factory=time.monotonic)

    def run(self) -> GateRecord:
        options = self.options
        limits = read_limits(options.max_regression, options.ignore_below)
        check_load(limits, options.rate_rps, options.users)
        sides = self._sides()
        same = sides.baseline.digest == sides.candidate.digest
        if same and not options.force:
            record = self._record(sides, Found([_equal(limits)], command=self._command()))
        else:
            record = self._measured(sides, limits, same=same)
        with mapped_output_errors(options.output):
            options.output.mkdir(parents=True, exist_ok=True)
        write_record(options.output / GATE_FILE, record)
        return record

    def _sides(self) -> Sides:
        options = self.options
        settings = {"threads": options.threads, "workers": options.workers}
        baseline = resolve(options.baseline, options.store, settings)
        candidate = resolve(options.candidate, options.store, settings)
        _check(baseline, candidate)
        return Sides(baseline, candidate)

    def _measured(self, sides: Sides, limits: GateLimits, *, same: bool) -> GateRecord:
        options = self.options
        where = self._where(sides)
        payload = self._payload(where)
        with self._blocks() as keep:
            order = GateOrder(
                provider=where.provider,
                orders=where.orders,
                cores=where.cores,
                payload=payload,
                users=self._users(),
                throughput_users=2 * options.workers,
                limits=limits.measured,
                budget_s=self._budget_s(),
                alpha=options.alpha,
                seed=options.seed,
                timeout_s=options.timeout_s,
                rate_rps=options.rate_rps,
                epochs=where.epochs,
                tell=self.tell,
                keep=keep,
            )
            course = measure(order)
        told = list(warnings(course, order))
        if same:
            told.append(GateWarning(rank="note", text="both sides are the same to the last byte"))
        found = Found(metrics(course, order), told, command=self._command())
        record = with_course(self._record(sides, found), course, order)
        return self._judged(record, found, elsewhere=not where.epochs)

    def _judged(self, record: GateRecord, found: Found, *, elsewhere: bool) -> GateRecord:
        """Void measurements decide nothing, and servers of others nothing that fails a build."""
        verdict = record.verdict
        if any(each.rank == "void" for each in record.warnings):
            verdict = "inconclusive"
        if elsewhere:
            verdict = of_urls(verdict, self.options)
        return record.model_copy(
            update={
                "verdict": verdict,
                "exit_code": exit_code(verdict, self.options),
                "headline": headline(verdict, found),
            }
        )

    def _where(self, sides: Sides) -> _Setting:
        options, host = self.options, host_facts()
        by_name = {BASELINE: sides.baseline, CANDIDATE: sides.candidate}
        logs = {name: options.output / "logs" / f"{name}.log" for name in by_name}
        settings = served(ServerSettings(threads=self._threads(), workers=options.workers))
        if sides.baseline.url is not None:
            urls = {name: side.url or "" for name, side in by_name.items()}
            shape = this_machine(host, 1)
            orders = {name: Order(settings, shape, Path(), logs[name], STARTUP_TIMEOUT_S) for name in by_name}
            return _Setting(Elsewhere(urls), orders, (), epochs=False)
        provider, shape = local_provider(host, options.cpus)
        orders = {
            name: Order(settings, shape, _path(side), logs[name], STARTUP_TIMEOUT_S)
            for name, side in by_name.items()
        }
        return _Setting(provider, orders, provider.split(shape)[0], epochs=True)

    def _threads(self) -> int:
        options = self.options
        if options.threads is not None:
            return options.threads
        _, shape = local_provider(host_facts(), options.cpus)
        return max(1, shape.vcpus // options.workers)

    def _payload(self, where: _Setting) -> Mix:
        """What both sides get: the user's own bodies, or random tensors for the baseline's inputs."""
        options = self.options
        if options.payload is not None:
            return read_mix(options.payload, options.content_type)
        self.tell("asking the baseline for its inputs")
        with where.provider.deploy(where.orders[BASELINE]) as deployment:
            return single(payload_from_server(deployment.url, options.seed, fixed_shapes(options.shapes)))

    def _users(self) -> int:
        return self.options.users or self.options.workers

    def _budget_s(self) -> float:
        default_s = DEFAULT_BUDGET_S if self.options.rate_rps is None else DEFAULT_BUDGET_AT_A_RATE_S
        return self.options.budget_s or default_s

    def _record(self, sides: Sides, found: Found) -> GateRecord:
        options = self.options
        load = GateLoad(
            users=self._users() if options.rate_rps is None else None,
            rate_rps=options.rate_rps,
            payload=options.payload or "random tensors for the model's inputs",
            cpus=options.cpus or (),
            budget_s=self._budget_s(),
            alpha=options.alpha,
            seed=options.seed,
        )
        return record_of(sides, load, found, options, time.monotonic() - self.began_s)

    def _command(self) -> str:
        options = self.options
        more = [f"--max-regression {text}" for text in options.max_regression]
        return " ".join(
            ["dyno gate", f"--baseline {options.baseline}", f"--candidate {options.candidate}", *more]
        )

    @contextmanager
    def _blocks(self) -> Iterator[Callable[[Block], None]]:
        """Write each block as it ends: what was measured before an interrupt is kept."""
        folder = self.options.output
        with mapped_output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / GATE_FILE).unlink(missing_ok=True)
            with (folder / BLOCKS_FILE).open("w") as stream:

                def keep(block: Block) -> None:
                    if block.seconds > 0:
                        stream.write(block_record(block).model_dump_json() + "\n")
                        stream.flush()

                yield keep


def _check(baseline: Side, candidate: Side) -> None:
    """Both run here, or neither does.

    Raises:
        ConfigError: only one does, or a side is numbers alone.
    """
    for side in (baseline, candidate):
        if side.kind == "saved run":
            raise ConfigError(
                f"{side.reference} is numbers alone, which say nothing of today's machine",
                hint="`dyno baseline save NAME ARTIFACT` keeps what can be measured again",
            )
    if (baseline.url is None) != (candidate.url is None):
        raise ConfigError(
            f"{baseline.reference} and {candidate.reference}: only one of them is a URL, and a server "
            "elsewhere can't be compared with one that is started here",
            hint="give two URLs, or none",
        )


def _path(side: Side) -> Path:
    assert side.path is not None  # noqa: S101 - only URLs have none
    return side.path


def _equal(limits: GateLimits) -> GateMetric:
    name = next(iter([*limits.measured, *limits.exact]))
    return GateMetric(
        metric=name, exact=True, verdict="pass", text="unchanged: both sides are the same to the last byte"
    )
