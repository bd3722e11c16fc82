"""action.yml and the templates for CI are valid, and their shell steps do what they say."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.gate.show.samples import REGRESSION
from tests.rooms import ROOT

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
GITHUB = ROOT / "ci-templates" / "github.yml"
GITLAB = ROOT / "ci-templates" / "gitlab.yml"
ACTIONLINT = shutil.which("actionlint")
CHECKED = {
    "vendor.github-actions": ROOT / "action.yml",
    "vendor.github-workflows": GITHUB,
    "vendor.gitlab-ci": GITLAB,
}
BASH = ("bash", "-eo", "pipefail")
STUB = """#!/bin/bash
printf '%s\\n' "$*" >> "$CALLS"
case "$1 $2" in
  "baseline show") [ -e "$KNOWN" ]; exit ;;
  "baseline save") exit "${SAVE_CODE:-0}" ;;
esac
while [ $# -gt 0 ]; do
  case "$1" in
    --output) [ -n "$RECORD" ] && cp "$RECORD" "$2/gate.json" ;;
    --markdown) printf '### the answer\\n' > "$2" ;;
  esac
  shift
done
exit "$CODE_OF_GATE"
"""
GH = """#!/bin/bash
printf '%s\\n' "$*" >> "$CALLS"
case "$*" in *--paginate*) [ -n "$COMMENT" ] && echo "$COMMENT" ;; esac
exit 0
"""


@dataclass
class Shell:
    """Runs steps with stubs on PATH."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    printed: str = ""

    def __post_init__(self) -> None:
        stubs = self.folder / "bin"
        stubs.mkdir()
        for name, text in (("dyno", STUB), ("gh", GH)):
            (stubs / name).write_text(text)
            (stubs / name).chmod(0o755)
        (self.folder / "record.json").write_text(REGRESSION.model_dump_json())
        self.environment = {
            "PATH": f"{stubs}:{Path(sys.executable).parent}:/usr/bin:/bin",
            "CALLS": str(self.folder / "calls"),
            "KNOWN": str(self.folder / "known"),
            "RECORD": str(self.folder / "record.json"),
            "GITHUB_OUTPUT": str(self.folder / "output"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
            "GITHUB_REPOSITORY": "us/ours",
            "CODE_OF_GATE": "0",
            "COMMENT": "",
        }

    def run(self, script: str, how: tuple[str, ...] = BASH, /, **more: str) -> int:
        """Run a step as its CI does; its exit code."""
        path = self.folder / "step.sh"
        path.write_text(script)
        done = subprocess.run(
            [*how, str(path)],
            env={**self.environment, **more},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        self.printed = done.stdout + done.stderr
        return done.returncode

    def read(self, name: str) -> str:
        """Read what a step wrote; empty where it wrote nothing."""
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    @property
    def outputs(self) -> dict[str, str]:
        """What the step told later ones."""
        return dict(line.split("=", 1) for line in self.read("output").splitlines())


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def step(name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in ACTION["runs"]["steps"] if each["name"] == name)
    return found


def given(name: str, **inputs: str) -> dict[str, str]:
    """The environment of a step, with the action's inputs put in as GitHub does."""
    values = {key: str(one.get("default", "")) for key, one in ACTION["inputs"].items()} | {
        key.replace("_", "-"): one for key, one in inputs.items()
    }

    def put(text: str) -> str:
        return re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: values[found[1]], text)

    return {key: put(text) for key, text in step(name)["env"].items()}


@pytest.mark.parametrize("schema", CHECKED)
def test_each_file_follows_its_schema(schema: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(CHECKED[schema])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout


def test_the_example_gives_the_action_what_it_takes() -> None:
    used = yaml.safe_load(GITHUB.read_text())["jobs"]["gate"]["steps"][-1]
    assert set(used["with"]) <= set(ACTION["inputs"])
    needed = {key for key, one in ACTION["inputs"].items() if one.get("required")}
    assert needed <= set(used["with"])


@pytest.mark.skipif(ACTIONLINT is None, reason="no actionlint on PATH")
def test_actionlint_finds_nothing_in_the_example(tmp_path: Path) -> None:
    workflows = tmp_path / ".github" / "workflows"
    workflows.mkdir(parents=True)
    (tmp_path / ".git").mkdir()  # where actionlint takes the root to be
    shutil.copy(ROOT / "action.yml", tmp_path)
    example = re.sub(r"uses: OWNER/.*", "uses: ./", GITHUB.read_text())
    (workflows / "gate.yml").write_text(example)
    done = subprocess.run(
        [str(ACTIONLINT)], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout


def test_no_script_takes_an_input_as_code() -> None:
    scripts = [each["run"] for each in ACTION["runs"]["steps"] if "run" in each]
    assert len(scripts) >= 5
    assert [text for text in scripts if "${{" in text] == []


def test_every_step_output_that_is_used_is_made(shell: Shell) -> None:
    shell.run(step("Gate")["run"], **given("Gate", candidate="m.onnx"), CODE_OF_GATE="1")
    used = set(re.findall(r"steps\.gate\.outputs\.([\w-]+)", (ROOT / "action.yml").read_text()))
    assert used == set(shell.outputs)


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_the_gate_runs_with_its_options_and_tells_what_came_of_it(shell: Shell, code: int) -> None:
    inputs = given(
        "Gate",
        candidate="my model.onnx",
        max_regression="p50_ms=5%\n\nthroughput_rps=3%\n",
        budget="90s",
        args="--users 2 --cpus 0,1",
    )
    assert shell.run(step("Gate")["run"], **inputs, CODE_OF_GATE=str(code)) == 0
    assert shell.read("calls") == (
        "gate --baseline main --candidate my model.onnx --store .dyno/baselines --output .dyno/gate "
        "--markdown .dyno/gate/gate.md --junit .dyno/gate/junit.xml --html .dyno/gate/gate.html "
        "--openmetrics .dyno/gate/metrics.txt --max-regression p50_ms=5% --max-regression throughput_rps=3% "
        "--budget 90s --users 2 --cpus 0,1\n"
    )
    assert shell.outputs == {
        "exit-code": str(code),
        "verdict": "regression",
        "headline": REGRESSION.headline,
    }
    assert shell.read("summary") == "### the answer\n"


def test_a_headline_of_several_lines_sets_no_other_output(shell: Shell) -> None:
    hostile = json.loads(REGRESSION.model_dump_json()) | {"headline": "one\nexit-code=0"}
    (shell.folder / "record.json").write_text(json.dumps(hostile))
    shell.run(step("Gate")["run"], **given("Gate", candidate="m"), CODE_OF_GATE="1")
    assert shell.outputs["exit-code"] == "1"
    assert shell.outputs["headline"] == "one exit-code=0"


def test_without_a_record_only_the_exit_code_is_told(shell: Shell) -> None:
    shell.run(step("Gate")["run"], **given("Gate", candidate="m"), CODE_OF_GATE="2", RECORD="")
    assert shell.outputs == {"exit-code": "2"}


def test_a_record_of_an_earlier_run_is_not_told_again(shell: Shell) -> None:
    report = shell.folder / ".dyno" / "gate"
    report.mkdir(parents=True)
    shutil.copy(shell.folder / "record.json", report / "gate.json")
    shell.run(step("Gate")["run"], **given("Gate", candidate="m"), CODE_OF_GATE="2", RECORD="")
    assert "verdict" not in shell.outputs


@pytest.mark.parametrize("known", [True, False])
def test_the_first_run_on_the_main_branch_saves_its_baseline(shell: Shell, known: bool) -> None:
    if known:
        (shell.folder / "known").touch()
    inputs = given("Gate", candidate="m.onnx", save_baseline="true")
    assert shell.run(step("Gate")["run"], **inputs) == 0
    calls = shell.read("calls").splitlines()
    assert calls[0] == "baseline show main --store .dyno/baselines"
    if known:
        assert calls[1].startswith("gate ")
    else:
        assert calls[1:] == ["baseline save main m.onnx --store .dyno/baselines"]
        assert shell.outputs == {"exit-code": "0", "verdict": "saved"}


def test_a_baseline_that_can_not_be_saved_fails(shell: Shell) -> None:
    inputs = given("Gate", candidate="m.onnx", save_baseline="true")
    shell.run(step("Gate")["run"], **inputs, SAVE_CODE="2")
    assert shell.outputs == {"exit-code": "2"}


@pytest.mark.parametrize(
    ("code", "inconclusive_is", "ends", "said"),
    [
        ("0", "pass", 0, ""),
        ("1", "pass", 1, "::error title=dyno gate::5 %25 slower"),
        ("2", "pass", 2, "::error title=dyno gate::The gate could not run"),
        ("3", "pass", 0, "::warning title=dyno gate::5 %25 slower"),
        ("3", "fail", 1, "::error title=dyno gate::5 %25 slower"),
        ("130", "pass", 130, "::error"),
        ("", "pass", 2, "::error"),
    ],
)
def test_the_exit_code_becomes_the_jobs(
    shell: Shell, code: str, inconclusive_is: str, ends: int, said: str
) -> None:
    values = {"CODE": code, "INCONCLUSIVE_IS": inconclusive_is, "HEADLINE": "5 % slower", "VERDICT": ""}
    assert shell.run(step("Verdict")["run"], **values) == ends
    assert shell.printed.startswith(said)


@pytest.mark.parametrize("known", ["", "77"])
def test_one_comment_is_kept_up_to_date(shell: Shell, known: str) -> None:
    (shell.folder / "gate.md").write_text("### the answer\n")
    values = {"REPORT": ".", "KEY": "base", "PULL_REQUEST": "12", "GH_TOKEN": "t", "COMMENT": known}
    assert shell.run(step("Comment on the pull request")["run"], **values) == 0
    last = shell.read("calls").splitlines()[-1]
    if known:
        assert last == "api --silent --method PATCH repos/us/ours/issues/comments/77 -F body=@./comment.md"
    else:
        assert last == "api --silent --method POST repos/us/ours/issues/12/comments -F body=@./comment.md"
    assert shell.read("comment.md") == "<!-- dyno gate: base -->\n### the answer\n"


def test_what_is_installed_is_what_is_asked_for(shell: Shell) -> None:
    (shell.folder / "bin" / "python3").write_text('#!/bin/bash\nprintf "%s\\n" "$*" >> "$CALLS"\n')
    (shell.folder / "bin" / "python3").chmod(0o755)
    values = given("Install", install="modeldyno==1.0 onnx") | {"ACTION_PATH": "/action"}
    assert shell.run(step("Install")["run"], **values) == 0
    assert shell.read("calls") == "-m pip install --quiet modeldyno==1.0 onnx\n"
    assert shell.run(step("Install")["run"], **(values | {"INSTALL": ""})) == 0
    assert shell.read("calls").count("\n") == 1  # dyno is on PATH
    (shell.folder / "bin" / "dyno").unlink()
    bare = f"{shell.folder / 'bin'}:/usr/bin:/bin"
    assert shell.run(step("Install")["run"], **(values | {"INSTALL": "", "PATH": bare})) == 0
    assert shell.read("calls").splitlines()[-1] == "-m pip install --quiet /action"


def gitlab(shell: Shell, how: tuple[str, ...], **more: str) -> int:
    job = yaml.safe_load(GITLAB.read_text())[".dyno-gate"]
    values = {"CI_DEFAULT_BRANCH": "main", **job["variables"], "DYNO_CANDIDATE": "m.onnx", **more}
    (script,) = job["script"]
    return shell.run(script, how, **values)


SHELLS = pytest.mark.parametrize("how", [BASH, ("sh", "-e")], ids=["bash", "sh"])


@SHELLS
@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_gitlab_gates_a_merge_request(shell: Shell, how: tuple[str, ...], code: int) -> None:
    limits = "p50_ms=5% throughput_rps=3%"
    ended = gitlab(shell, how, CODE_OF_GATE=str(code), DYNO_MAX_REGRESSION=limits, DYNO_ARGS="--users 2")
    assert ended == code
    assert shell.read("calls") == (
        "gate --baseline main --candidate m.onnx --store .dyno/baselines --budget 60s --output .dyno/gate "
        "--markdown .dyno/gate/gate.md --html .dyno/gate/gate.html --junit .dyno/gate/junit.xml "
        "--openmetrics .dyno/gate/metrics.txt --max-regression p50_ms=5% --max-regression throughput_rps=3% "
        "--users 2\n"
    )


@SHELLS
@pytest.mark.parametrize(
    ("known", "code", "calls"),
    [
        (False, "0", ["baseline show", "baseline save"]),
        (True, "0", ["baseline show", "gate --baseline", "baseline save"]),
        (True, "1", ["baseline show", "gate --baseline", "baseline save"]),
        (True, "2", ["baseline show", "gate --baseline"]),
    ],
)
def test_gitlab_keeps_the_default_branch_as_the_baseline(
    shell: Shell, how: tuple[str, ...], known: bool, code: str, calls: list[str]
) -> None:
    if known:
        (shell.folder / "known").touch()
    assert gitlab(shell, how, CI_COMMIT_BRANCH="main", CODE_OF_GATE=code) == int(code)
    assert [" ".join(line.split()[:2]) for line in shell.read("calls").splitlines()] == calls


def test_gitlab_marks_what_is_not_decided_or_fails_it(shell: Shell) -> None:
    job = yaml.safe_load(GITLAB.read_text())[".dyno-gate"]
    assert job["allow_failure"] == {"exit_codes": [3]}
    gitlab(shell, ("sh", "-e"), DYNO_INCONCLUSIVE_IS="fail")
    assert "--inconclusive-is fail" in shell.read("calls")


def test_what_gitlab_reads_is_what_the_script_writes(shell: Shell) -> None:
    job = yaml.safe_load(GITLAB.read_text())[".dyno-gate"]
    gitlab(shell, ("sh", "-e"))
    for path in job["artifacts"]["reports"].values():
        assert path in shell.read("calls")
    assert job["cache"]["paths"] == [".dyno/baselines"]
    assert f"--store {job['cache']['paths'][0]}" in shell.read("calls")


def test_pages_name_the_files_that_are_there() -> None:
    assert os.access(ROOT / "ci-templates" / "github.yml", os.R_OK)
    assert "ci-templates/gitlab.yml" in (ROOT / "docs" / "gate.md").read_text()
