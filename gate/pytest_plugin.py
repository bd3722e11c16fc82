"""A pytest plugin: the fixture `dyno_gate` fails a test whose candidate is a regression.

    def test_the_new_model_is_as_fast(dyno_gate):
        dyno_gate("main", "build/artifact", max_regression="p50_ms=5%", budget_s=60)

Every pytest run in an environment with modeldyno loads this module: it imports nothing but pytest.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from modeldyno.base.records.gate import GateRecord

INI = "dyno_inconclusive_is"
CHOICES = ("skip", "fail", "pass")
_MANY = ("max_regression", "ignore_below", "shapes")


class DynoGate(Protocol):
    """What the fixture gives."""

    def __call__(self, baseline: str | Path, candidate: str | Path, **options: Any) -> GateRecord:
        """Measure a candidate against its baseline; the test fails on a regression.

        `options` are those of `dyno gate`, by their names in Python, e.g. `budget_s=60`.
        """


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say what a gate that is not decided does to its test."""
    parser.addini(INI, f"What a test is whose gate is not decided: {', '.join(CHOICES)}.", default=CHOICES[0])


@pytest.fixture
def dyno_gate(request: pytest.FixtureRequest, tmp_path: Path) -> DynoGate:
    """Measure a candidate against its baseline side by side, and fail the test on a regression.

    `dyno_gate(baseline, candidate, **options)` gives the gate's record. A gate that is not decided skips the
    test; the ini option `dyno_inconclusive_is` makes it `fail` or `pass`. gate.json and the blocks are in
    `tmp_path / "gate"`, unless `output` says where.
    """
    inconclusive_is = str(request.config.getini(INI))
    if inconclusive_is not in CHOICES:
        raise pytest.UsageError(f"{INI} = {inconclusive_is}: expected one of {', '.join(CHOICES)}")

    def gate(baseline: str | Path, candidate: str | Path, **options: Any) -> GateRecord:
        record = _measured(str(baseline), str(candidate), {"output": tmp_path / "gate", **options})
        _tell(request.node, record)
        _judge(record, inconclusive_is)
        return record

    return gate


def _measured(baseline: str, candidate: str, options: dict[str, Any]) -> GateRecord:
    from modeldyno.base.errors import DynoError

    for name in _MANY:
        if isinstance(options.get(name), str):
            options[name] = (options[name],)
    # Imported by name: all that measures is behind these two.
    made = import_module("modeldyno.gate.options").GateOptions(
        baseline=baseline, candidate=candidate, **options
    )
    try:
        record: GateRecord = import_module("modeldyno.gate.run").gate(baseline, candidate, made)
    except DynoError as error:
        pytest.fail(f"the gate could not run: {error}", pytrace=False)
    return record


def _tell(item: pytest.Item, record: GateRecord) -> None:
    """Leave the answer in the report of the test (`-rP` shows it), and the numbers in JUnit XML."""
    from modeldyno.gate.show.console import lines

    item.add_report_section("call", "dyno gate", "\n".join(lines(record)))
    item.user_properties.append(("dyno_verdict", record.verdict))
    for each in record.metrics:
        if each.change is not None:
            item.user_properties.append((f"dyno_{each.metric}_change", f"{each.change:.5f}"))


def _judge(record: GateRecord, inconclusive_is: str) -> None:
    if record.verdict == "regression":
        pytest.fail(_sentence(record), pytrace=False)
    if record.verdict == "inconclusive":
        if inconclusive_is == "fail":
            pytest.fail(_sentence(record), pytrace=False)
        if inconclusive_is == "skip":
            pytest.skip(_sentence(record))


def _sentence(record: GateRecord) -> str:
    from modeldyno.gate.show import words

    differ = words.outputs_differ(record)
    told = [words.warning(each) for each in words.warnings(record)[: words.MOST_WARNINGS]]
    return "\n".join([record.headline, *([differ] if differ else []), *told])
