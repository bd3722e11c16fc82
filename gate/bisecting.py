"""`dyno gate --bisect GOOD..BAD`: the first bad one of several baselines or revisions, by gates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from modeldyno.base.command.console import print_json
from modeldyno.base.errors import ConfigError, DynoError
from modeldyno.base.exit_codes import ANSWER_IS_NO, DONE, NOT_DECIDED, NOT_MEASURED
from modeldyno.base.files import mapped_output_errors
from modeldyno.base.records.gate import GateVerdict
from modeldyno.gate.explain.bisection import Bisection, bisect, planned_steps
from modeldyno.gate.explain.revisions import built, good_and_bad, printed_revisions, stored_between
from modeldyno.gate.options import DEFAULT_BUDGET_AT_A_RATE_S, DEFAULT_BUDGET_S, GateOptions
from modeldyno.gate.run import gate

STEPS = "steps"
Tell = Callable[[str], None]


def bisect_command(options: GateOptions, tell: Tell) -> int:
    """Bisect as the options say, print what was found, and give the exit code.

    Raises:
        ConfigError: no such range, or nothing to go through.
    """
    found = bisected(options, tell)
    if options.as_json:
        print_json(
            {
                "text": found.text,
                "good": found.good,
                "bad": found.bad,
                "between": found.between,
                "decided": found.decided,
                "steps": [vars(step) for step in found.steps],
            }
        )
    else:
        click.echo(found.text)
    return _code(found)


def bisected(options: GateOptions, tell: Tell) -> Bisection:
    """Judge one after another against the good one; each judgement has a folder of its own in `steps`."""
    folder = options.output / STEPS
    with mapped_output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    references = _references(options, folder)
    steps, budget_s = planned_steps(len(references)), _budget_s(options)
    tell(f"{len(references)} from good to bad: about {steps} gates of at most {budget_s:.0f} s each")
    return bisect(references, _Judging(options, folder, references[0], tell), options.alpha)


@dataclass
class _Judging:
    """Judges one of the references by a gate against the good one."""

    options: GateOptions
    folder: Path
    good: str
    tell: Tell
    step: int = 0

    def __call__(self, reference: str, alpha: float, times: int) -> GateVerdict | None:
        self.step += 1
        output = self.folder / f"{self.step:02}"
        options = replace(
            self.options, alpha=alpha, budget_s=times * _budget_s(self.options), output=output, bisect=None
        )
        try:
            baseline, candidate = (self._measurable(name, output) for name in (self.good, reference))
            record = gate(baseline, candidate, options, tell=self.tell)
        except DynoError as error:
            self.tell(f"{reference}: {error}")
            return None
        self.tell(f"{reference}: {record.headline}")
        return record.verdict

    def _measurable(self, name: str, output: Path) -> str:
        with mapped_output_errors(output):
            output.mkdir(parents=True, exist_ok=True)
        if self.options.build is None:
            return name
        self.tell(f"building {name}")
        log = output / f"build-{'good' if name == self.good else 'step'}.log"
        return built(self.options.build, name, log)


def _references(options: GateOptions, folder: Path) -> Sequence[str]:
    good, bad = good_and_bad(options.bisect or "")
    if options.revisions is None:
        if options.build is not None:
            raise ConfigError("`build` needs `revisions`: which are there?", field="revisions")
        return stored_between(options.store, good, bad)
    return printed_revisions(options.revisions, good, bad, folder / "revisions.log")


def _budget_s(options: GateOptions) -> float:
    return options.budget_s or (DEFAULT_BUDGET_S if options.rate_rps is None else DEFAULT_BUDGET_AT_A_RATE_S)


def _code(found: Bisection) -> int:
    """0: the first bad one is known; 1: the last is no regression; 2: it could not be measured; else 3."""
    if found.decided:
        return DONE
    last = next((step.verdict for step in reversed(found.steps) if step.reference == found.bad), None)
    if last is None and len(found.steps) == 1:
        return NOT_MEASURED
    return ANSWER_IS_NO if last in ("pass", "improvement") else NOT_DECIDED
