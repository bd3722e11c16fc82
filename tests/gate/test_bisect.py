"""The first bad one of many, by a judge who knows; and where revisions come from."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.gate import GateVerdict
from modeldyno.gate.content.read import content_of
from modeldyno.gate.explain.bisection import Step, bisect, planned_steps
from modeldyno.gate.explain.revisions import built, good_and_bad, printed_revisions, stored_between
from modeldyno.gate.store.folder import save

NUMBERS = tuple(map(str, range(17)))


def from_on(first: int, **special: GateVerdict | None) -> Callable[[str, float, int], GateVerdict | None]:
    """A judge to whom everything from `first` on is a regression; `special` verdicts by n and the number."""

    def judge(reference: str, _alpha: float, _times: int) -> GateVerdict | None:
        usual: GateVerdict = "regression" if int(reference) >= first else "pass"
        return special.get(f"n{reference}", usual)

    return judge


@pytest.mark.parametrize("first", range(1, 17))
def test_the_first_bad_one_is_found_in_as_many_steps_as_were_planned(first: int) -> None:
    found = bisect(NUMBERS, from_on(first), 0.01)
    assert found.decided
    assert (found.good, found.bad) == (str(first - 1), str(first))
    assert len(found.steps) <= planned_steps(len(NUMBERS)) == 5
    assert found.text.startswith(f"{first} is the first that is slower")


@pytest.mark.parametrize(("number", "steps"), [(2, 1), (3, 2), (4, 3), (5, 3), (6, 4), (17, 5), (1025, 11)])
def test_each_step_has_its_part_of_the_error(number: int, steps: int) -> None:
    seen: list[float] = []

    def judge(reference: str, alpha: float, _times: int) -> GateVerdict:
        seen.append(alpha)
        return "regression" if int(reference) > number / 2 or int(reference) == number - 1 else "improvement"

    bisect([str(each) for each in range(number)], judge, 0.01)
    assert seen == [pytest.approx(0.01 / steps)] * len(seen)
    assert len(seen) <= steps


def test_an_inconclusive_step_is_measured_twice_as_long_and_then_ends_with_the_range() -> None:
    found = bisect(NUMBERS, from_on(5, n4="inconclusive"), 0.01)
    assert found.steps[-2:] == (Step("4", "inconclusive", 1), Step("4", "inconclusive", 2))
    assert (found.good, found.bad, found.between) == ("0", "8", tuple("1234567"))
    assert not found.decided
    assert found.text == ("4 could not be told from 0 in twice the time; between 0 and 8 nothing is decided")


def test_a_step_that_is_decided_in_twice_the_time_counts() -> None:
    verdicts: dict[tuple[str, int], GateVerdict] = {("8", 1): "inconclusive", ("8", 2): "pass"}

    def judge(reference: str, _alpha: float, times: int) -> GateVerdict:
        return verdicts.get((reference, times), "regression" if int(reference) >= 9 else "pass")

    assert (found := bisect(NUMBERS, judge, 0.01)).decided
    assert found.bad == "9"


def test_what_can_not_be_measured_is_stepped_around() -> None:
    assert bisect(NUMBERS, from_on(5, n8=None, n4=None), 0.01).bad == "5"
    found = bisect(NUMBERS, from_on(5, n5=None), 0.01)
    assert (found.good, found.bad, found.between) == ("4", "6", ("5",))
    assert found.text == "5 could not be measured; between 4 and 6 nothing is decided"


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("pass", "16 is no regression (pass): nothing to bisect"),
        ("inconclusive", "16 could not be told from the good one in twice the time"),
        (None, "16 could not be measured"),
    ],
)
def test_a_bad_one_that_is_not_bad_ends_it(verdict: GateVerdict | None, said: str) -> None:
    found = bisect(NUMBERS, from_on(3, n16=verdict), 0.01)
    assert found.reason.startswith(said)
    assert {each.reference for each in found.steps} == {"16"}
    assert not found.decided


def test_two_neighbours_need_one_step_and_one_alone_is_refused() -> None:
    found = bisect(["a", "b"], lambda *_: "regression", 0.01)
    assert (found.decided, found.good, found.bad, len(found.steps)) == (True, "a", "b", 1)
    with pytest.raises(ConfigError, match="nothing to bisect"):
        bisect(["a"], lambda *_: "pass", 0.01)


@pytest.mark.parametrize("text", ["", "a", "a..", "..b", "a...b", "a..b..c"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected GOOD\.\.BAD"):
        good_and_bad(text)


def test_a_range_names_both_ends() -> None:
    assert good_and_bad("v1.2..main") == ("v1.2", "main")


def test_baselines_between_two_go_by_their_age(models: Path, tmp_path: Path) -> None:
    content = content_of(models / "tiny.onnx")
    noon = datetime(2026, 1, 1, tzinfo=UTC)
    for hour, name in enumerate(("first", "z", "a", "last")):
        save(tmp_path, name, content, "tiny.onnx", partial(noon.__add__, timedelta(hours=hour)))
    assert stored_between(tmp_path, "first", "a") == ("first", "z", "a")
    with pytest.raises(ConfigError, match="not after last"):
        stored_between(tmp_path, "last", "first")
    with pytest.raises(ConfigError, match="unknown baseline 'lst'; nearest: last"):
        stored_between(tmp_path, "first", "lst")


def test_revisions_come_from_git_and_their_references_from_a_build(tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.test"]
    subprocess.run([*git, "init", "-q"], check=True, timeout=60)
    for number in range(4):
        commit = [*git, "commit", "-q", "--allow-empty", "-m", str(number)]
        subprocess.run(commit, check=True, timeout=60)
        subprocess.run([*git, "tag", f"t{number}"], check=True, timeout=60)
    log = tmp_path / "revisions.log"
    command = f"git -C {tmp_path} rev-list --reverse {{good}}..{{bad}}"
    found = printed_revisions(command, "t0", "t3", log)
    assert found[0] == "t0"
    assert len(found) == 4
    assert built("echo building >&2; echo one; echo 'out/ '{rev}", "a b", log) == "out/ a b"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("echo no such target >&2; exit 2", "ended with exit status 2: no such target"),
        ("true", "printed no reference for v1"),
        ("sleep 60", "took longer than 0.5 s"),
    ],
)
def test_a_build_that_fails_says_why(command: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        built(command, "v1", tmp_path / "build.log", limit_s=0.5)


def test_no_revisions_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="printed none"):
        printed_revisions("true", "a", "b", tmp_path / "log.log")
