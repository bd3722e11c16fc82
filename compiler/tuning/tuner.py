"""The choice for each kernel of a model: from records, from measuring now, or by the count of cycles."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from modeldyno.base.clock import utc_now
from modeldyno.base.errors import ConfigError
from modeldyno.base.host.facts import host_facts
from modeldyno.base.process.interrupts import watched_interrupts
from modeldyno.compiler.kernels.choice import (
    BIAS_RELU,
    Choice,
    Tail,
    Workload,
    candidates,
    choose,
    choose_direct,
)
from modeldyno.compiler.options import Options
from modeldyno.compiler.targets.catalog import CompileTarget, runs_here
from modeldyno.compiler.targets.machine import Machine
from modeldyno.compiler.tuning.builder import FEWEST, Builder
from modeldyno.compiler.tuning.measure import CandidateFailed, Meter
from modeldyno.compiler.tuning.records import (
    Failure,
    Records,
    TuningRecord,
    Warn,
    check_writable,
    default_path,
)
from modeldyno.compiler.tuning.search import Outcome, search
from modeldyno.runtime.records.kernels import TunedKernel, TuningFacts

Report = Callable[[str], None]
# What running the candidates of a kernel takes at least; building them comes on top.
LEAST_MEASURE_S = 0.2


@dataclass
class Tuner:
    """Answers what each kernel of one compile is computed by, and keeps count of why."""

    target: CompileTarget
    records: Records
    report: Report
    tune_s: float | None = None
    winograd: bool = True  # False answers the direct way always
    _uses: Counter[Workload] = field(default_factory=Counter)
    _chosen: dict[Workload, TuningRecord | None] = field(default_factory=dict)
    _measured: set[Workload] = field(default_factory=set)

    def choose(self, workload: Workload, machine: Machine) -> Choice:
        """Give the recorded choice of a kernel, else the one by the count of cycles: a Chooser."""
        if workload not in self._chosen:
            self._chosen[workload] = self.records.find(workload)
        self._uses[workload] += 1
        return self._answer(workload, machine)

    def _answer(self, workload: Workload, machine: Machine) -> Choice:
        record = self._chosen[workload]
        choice = choose(workload, machine) if record is None else Choice.from_record(record.choice)
        return choice if choice.winograd is None or self.winograd else choose_direct(workload, machine)

    @property
    def uses_winograd(self) -> bool:
        """Whether some kernel is a Winograd convolution."""
        return any(self._answer(each, self.target.machine).winograd is not None for each in self._uses)

    @property
    def changed(self) -> int:
        """Kernels that are computed in another way than without tuning."""
        pairs = ((w, r) for w, r in self._chosen.items() if r is not None)
        return sum(Choice.from_record(r.choice) != choose(w, self.target.machine) for w, r in pairs)

    def tune(self, module: Any) -> None:
        """Measure kernels of a module that is ready for `legalize`, those that take most time first.

        Each outcome is on record at once: what an interrupt leaves undone, the next compile goes on with.
        """
        if self.tune_s is None:
            return
        deadline = time.monotonic() + self.tune_s
        with watched_interrupts() as interrupts, Meter() as meter:
            uses = kernel_uses(module, self.target.machine)
            builder = Builder(self.target, interrupts=interrupts)
            while self._pass(uses, meter, deadline, builder):
                pass

    def facts(self) -> TuningFacts:
        """Say for the manifest where the choices come from."""
        recorded = [workload for workload, record in self._chosen.items() if record is not None]
        measured = len([workload for workload in recorded if workload in self._measured])
        return TuningFacts(
            measured=measured,
            from_records=len(recorded) - measured,
            default=len(self._chosen) - len(recorded),
            faster=tuple(
                TunedKernel(
                    kernel=describe(workload),
                    calls=self._uses[workload],
                    default_us=record.default_us,
                    tuned_us=record.median_us,
                )
                for workload, record in self._chosen.items()
                if record is not None and record.median_us < record.default_us
            ),
        )

    def _pass(self, uses: Counter[Workload], meter: Meter, deadline: float, builder: Builder) -> bool:
        """Go once through the kernels with candidates left; False when none was searched, or time is up."""
        pending = [workload for workload in by_time(uses, self.target.machine) if not self._is_done(workload)]
        pending.sort(key=lambda workload: self.records.find(workload) is not None)  # keeps the order within
        weights = [seconds_guess(workload, self.target.machine) * uses[workload] for workload in pending]
        went_on = False
        for number, workload in enumerate(pending):
            left = deadline - time.monotonic()
            least = builder.cost.of(FEWEST) + LEAST_MEASURE_S
            if left < least:
                return False
            share = max(least, left * weights[number] / sum(weights[number:]))
            name = f"kernel {number + 1}/{len(pending)} {describe(workload)}"
            until = time.monotonic() + min(share, left)
            try:
                went_on |= self._search(workload, until, name, builder=builder, meter=meter)
            except CandidateFailed as error:
                self.report(f"{name}: the default could not be measured ({error}) and stays")
        return went_on

    def _is_done(self, workload: Workload) -> bool:
        record = self.records.find(workload)
        return record is not None and record.complete

    def _search(
        self, workload: Workload, deadline: float, name: str, *, builder: Builder, meter: Meter
    ) -> bool:
        known = candidates(workload, self.target.machine)
        before = self.records.find(workload)
        done = before.tried if before is not None else 1
        # The default is always measured again; so is the best so far, against the candidates not tried yet.
        best = [Choice.from_record(before.choice)] if before is not None else []
        given = list(dict.fromkeys([known[0], *best, *known[done:]]))
        outcome = search(workload, given, deadline, builder=builder, meter=meter)
        tried = done + outcome.tried - (len(given) - len(known[done:]))
        self.records.add(self._record(workload, outcome, tried, len(known)))
        self._measured.add(workload)
        self._chosen.pop(workload, None)
        self.report(f"{name}: {_verdict(outcome)}, {tried} of {len(known)} tried{_failures(outcome)}")
        return True

    def _record(self, workload: Workload, outcome: Outcome, tried: int, total: int) -> TuningRecord:
        return self.records.new(
            workload=workload.record(),
            choice=outcome.choice.record(),
            median_us=round(outcome.median_us, 3),
            default_us=round(outcome.default_us, 3),
            spread=round(outcome.spread, 4),
            rounds=outcome.rounds,
            tried=tried,
            candidates=total,
            failed=tuple(Failure(choice=choice.record(), reason=why) for choice, why in outcome.failed),
            created_at=utc_now(),
            cpu_model=host_facts().cpu_model,
        )


def tuner(target: CompileTarget, options: Options, report: Report, warn: Warn) -> Tuner:
    """Make what chooses the kernels of a compile.

    Raises:
        ConfigError: kernels are to be measured for a processor that this machine is not, or for a GPU.
        OutputError: the records can't be written.
    """
    _check_tunable(target, options)
    path = (options.tuning_records or default_path()) if options.reuse_tuning else None
    if options.tune_s is not None:
        if not runs_here(target, host_facts()):
            raise ConfigError(
                f"`tune_s` measures kernels on this machine, which can't run code for {target.name}",
                field="tune_s",
                hint="tune there, and compile here with the records from there (`tuning_records`)",
            )
        if path is not None:
            check_writable(path)
    return Tuner(target, Records(path, target, warn), report, options.tune_s, options.winograd)


def _check_tunable(target: CompileTarget, options: Options) -> None:
    for setting in ("tune_s", "tuning_records"):
        if target.kind == "cuda" and getattr(options, setting) is not None:
            raise ConfigError(
                f"`{setting}` is for processors: {target.name} gets kernels that TVM's own rules order, and "
                "there is nothing to choose",
                field=setting,
                hint="leave it out",
            )


def kernel_uses(module: Any, machine: Machine) -> Counter[Workload]:
    """Count how often each distinct kernel is called in a module that is ready for `legalize`."""
    from modeldyno.compiler.lower.legalize import legalize

    uses: Counter[Workload] = Counter()

    def count(workload: Workload, machine: Machine) -> Choice:
        uses[workload] += 1
        return choose(workload, machine)

    legalize(module, machine, chooser=count)
    return uses


def by_time(uses: Counter[Workload], machine: Machine) -> list[Workload]:
    """Order kernels by their guessed share of the model's time, the largest first."""
    return sorted(uses, key=lambda workload: -uses[workload] * seconds_guess(workload, machine))


def seconds_guess(workload: Workload, machine: Machine) -> float:
    """Guess a kernel's time, in units that only compare: its multiply-adds, and its weights from memory."""
    weights = workload.depth * workload.channels * workload.kernel[0] * workload.kernel[1]
    # A depthwise sum has a load for each multiply-add, and too few of them to hide its beginning and end.
    slower = 4 if workload.kind == "depthwise" else 1
    return slower * workload.flops / (4 * machine.lanes) + machine.weight_cycles(4 * weights)


def describe(workload: Workload) -> str:
    """Name a kernel in a line of text.

    What follows the product is told where it is not bias and ReLU; `add*` adds a tensor, a residual say.

    >>> describe(Workload("conv2d", 1, (8, 8), (4, 4), 3, 16, (3, 3), (2, 2)))
    'conv2d 3x3/2 3->16 to 4x4'
    >>> describe(Workload("depthwise", 1, (8, 8), (8, 8), 1, 16, (3, 3), groups=16, tail=(("sigmoid", "0"),)))
    'depthwise 3x3 16 to 8x8, sigmoid'
    """
    shape = f"{workload.depth * workload.groups}->{workload.channels}"
    if workload.kind == "depthwise":
        shape = f"{workload.channels}"
    batch = f" batch {workload.batch}" if workload.batch > 1 else ""
    return f"{_shape_words(workload, shape)}{batch}{_tail_words(workload.tail)}"


def _shape_words(workload: Workload, shape: str) -> str:
    if workload.kind == "dense":
        return f"{workload.kind} {shape} of {workload.out[1]} rows"
    stride = f"/{max(workload.strides)}" if max(workload.strides) > 1 else ""
    kernel, out = ("x".join(map(str, sizes)) for sizes in (workload.kernel, workload.out))
    return f"{workload.kind} {kernel}{stride} {shape} to {out}"


def _tail_words(tail: Tail) -> str:
    if tail == BIAS_RELU:
        return ""
    steps = [
        name.removeprefix("nn.") + "*" * any(each.startswith("data ") for each in operands)
        for name, *operands in tail
    ]
    return f", {' '.join(steps) or 'alone'}"


def _verdict(outcome: Outcome) -> str:
    if outcome.median_us >= outcome.default_us:
        return f"default {outcome.default_us:.1f} us stays"
    share = outcome.median_us / outcome.default_us
    return f"default {outcome.default_us:.1f} us -> {outcome.median_us:.1f} us ({share:.2f})"


def _failures(outcome: Outcome) -> str:
    return f", {len(outcome.failed)} discarded ({outcome.failed[0][1]})" if outcome.failed else ""
