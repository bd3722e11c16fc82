"""The pytest plugin, in sessions of its own; what measures is a stub there."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from modeldyno.base.records.gate import GateRecord
from tests.gate.show.samples import ALL, PASS, REGRESSION, UNDECIDED, VOID

pytest_plugins = ["pytester"]
STUB = """
import sys, types
from dataclasses import dataclass
from pathlib import Path

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.gate import GateRecord


@dataclass(frozen=True, kw_only=True)
class GateOptions:
    baseline: str
    candidate: str
    output: Path = Path("x")
    max_regression: tuple = ()
    budget_s: float = 60.0


def gate(baseline, candidate, options):
    assert (options.baseline, options.candidate) == (baseline, candidate)
    print("options", options.max_regression, options.budget_s, options.output.name)
    if baseline == "nothing":
        raise ConfigError("no baseline of that name", hint="dyno baseline save")
    return GateRecord.model_validate_json(Path(candidate + ".json").read_text())


for name, member in (("run", gate), ("options", GateOptions)):
    module = types.ModuleType("modeldyno.gate." + name)
    setattr(module, member.__name__, member)
    sys.modules[module.__name__] = module
"""


def ran(
    pytester: pytest.Pytester, made: GateRecord, body: str = "", ini: str = "", *args: str
) -> pytest.RunResult:
    """Run one test with the fixture in a session of its own, where `made` is what is measured."""
    pytester.makeconftest(STUB)
    pytester.makeini(f"[pytest]\n{ini}")
    (pytester.path / "new.json").write_text(made.model_dump_json())
    body = body or "dyno_gate('main', 'new', max_regression='p50_ms=5%')"
    pytester.makepyfile(f"def test_speed(dyno_gate):\n    {body}\n")
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", *args)


@pytest.mark.parametrize("name", ["pass", "improvement", "equal"])
def test_what_is_no_regression_passes(pytester: pytest.Pytester, name: str) -> None:
    found = ran(pytester, ALL[name])
    found.assert_outcomes(passed=1)


def test_a_regression_fails_with_its_sentence_and_nothing_of_our_insides(pytester: pytest.Pytester) -> None:
    found = ran(pytester, REGRESSION)
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines([REGRESSION.headline, "weak: 8 of 104 pairs*", "*dyno gate*"])
    found.stdout.fnmatch_lines(["*p50 latency*regression*over the limit of 5 %*"])
    found.stdout.no_fnmatch_line("*pytest_plugin.py*")


@pytest.mark.parametrize("made", [UNDECIDED, VOID], ids=["undecided", "void"])
@pytest.mark.parametrize(
    ("ini", "outcome"),
    [
        ("", "skipped"),
        ("dyno_inconclusive_is = fail", "failed"),
        ("dyno_inconclusive_is = pass", "passed"),
    ],
)
def test_not_decided_is_what_the_ini_file_says(
    pytester: pytest.Pytester, made: GateRecord, ini: str, outcome: str
) -> None:
    found = ran(pytester, made, "", ini, "-rs")
    found.assert_outcomes(**{outcome: 1})
    if outcome != "passed":
        assert made.headline[:40] in found.stdout.str()


def test_an_unknown_choice_is_an_error(pytester: pytest.Pytester) -> None:
    found = ran(pytester, PASS, "", "dyno_inconclusive_is = perhaps")
    found.assert_outcomes(errors=1)
    found.stdout.fnmatch_lines(["*dyno_inconclusive_is = perhaps: expected one of skip, fail, pass*"])


def test_options_are_passed_on_and_files_go_to_the_tests_own_folder(pytester: pytest.Pytester) -> None:
    body = "r = dyno_gate('main', 'new', max_regression='p50_ms=5%', budget_s=9); assert r.pairs == 96"
    found = ran(pytester, PASS, body, "", "-s")
    found.assert_outcomes(passed=1)
    found.stdout.fnmatch_lines(["*options ('p50_ms=5%',) 9 gate*"])


def test_a_gate_that_can_not_run_fails_with_what_to_do(pytester: pytest.Pytester) -> None:
    found = ran(pytester, PASS, "dyno_gate('nothing', 'new')")
    found.assert_outcomes(failed=1)
    wanted = "the gate could not run: no baseline of that name: dyno baseline save"
    found.stdout.fnmatch_lines([wanted])
    found.stdout.no_fnmatch_line("*pytest_plugin.py*")


def test_numbers_go_into_pytests_own_junit_xml(pytester: pytest.Pytester) -> None:
    ran(pytester, REGRESSION, "", "", "--junitxml=out.xml")
    root = ET.parse(pytester.path / "out.xml").getroot()  # noqa: S314 - pytest wrote it
    properties = {one.attrib["name"]: one.attrib["value"] for one in root.iter("property")}
    assert properties["dyno_verdict"] == "regression"
    assert properties["dyno_p50_ms_change"] == "0.06100"


def test_loading_the_plugin_costs_nothing() -> None:
    code = (
        "import sys, pytest; light = set(sys.modules); import modeldyno.gate.pytest_plugin\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - light} - set(sys.stdlib_module_names)\n"
        "assert new == {'modeldyno'}, new\n"
        "ours = {name for name in sys.modules if name.startswith('modeldyno')}\n"
        "assert len(ours) <= 4, ours\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=Path(sys.prefix))
