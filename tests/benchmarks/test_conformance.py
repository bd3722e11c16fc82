"""The node tests of the onnx package, in processes that may die."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.conformance import __main__ as conformance
from benchmarks.conformance.__main__ import Worker, summary

# Passes every test, but dies on `dies` while it compiles, and never answers on `hangs`.
FAKE = """
import json, os, sys, time
stream = open(sys.argv[2], "a", buffering=1)
for name in open(sys.argv[1]).read().split("\\n"):
    stream.write(json.dumps({"test": name, "phase": "native", "passes": True}) + "\\n")
    if name == "dies":
        os.abort()
    if name == "dies later":
        native = {"stage": "import", "reason": "why"}
        line = {"test": name, "phase": "fallback", "passes": True, "native": native}
        stream.write(json.dumps(line) + "\\n")
        os.abort()
    if name == "hangs":
        time.sleep(600)
    stream.write(json.dumps({"test": name, "onnxruntime": True, "stage": "", "reason": ""}) + "\\n")
"""


def outcome(names: list[str], folder: Path, timeout_s: float = 60.0) -> dict[str, Any]:
    script = folder / "fake.py"
    script.write_text(FAKE)
    worker = Worker(names, folder, timeout_s, [sys.executable, str(script)])
    while not worker.poll():
        time.sleep(0.05)
    return {row["test"]: (row["stage"], row["onnxruntime"]) for row in worker.rows}


def test_a_crash_fails_the_test_that_it_happened_in_and_no_other(tmp_path: Path) -> None:
    found = outcome(["one", "dies", "two"], tmp_path)
    assert found == {"one": ("", True), "dies": ("crash", True), "two": ("", True)}


def test_a_crash_of_the_fallback_leaves_what_came_out_before_it(tmp_path: Path) -> None:
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    worker = Worker(["dies later", "two"], tmp_path, 60.0, [sys.executable, str(script)])
    while not worker.poll():
        time.sleep(0.05)
    (row, _) = worker.rows
    assert (row["stage"], row["reason"], row["fallback_stage"]) == ("import", "why", "crash")
    found = summary(worker.rows)
    assert (found["native"], found["with_fallback"], found["crashes"]) == (1, 1, 1)


def test_a_test_without_answer_is_given_up(tmp_path: Path) -> None:
    found = outcome(["hangs", "two"], tmp_path, timeout_s=3.0)
    assert found == {"hangs": ("timeout", True), "two": ("", True)}


def test_only_what_onnxruntime_passes_counts() -> None:
    rows = [
        {"test": "a", "onnxruntime": True, "stage": "", "reason": "", "specialised": ["axes"]},
        {"test": "b", "onnxruntime": True, "stage": "import", "reason": "why"},
        {"test": "c", "onnxruntime": False, "stage": "", "reason": "", "specialised": []},
        {"test": "d", "onnxruntime": False, "stage": "read", "reason": "why"},
    ]
    found = summary(rows)
    counts = [found[key] for key in ("total", "onnxruntime_passes", "native", "specialised")]
    assert counts == [4, 2, 1, 1]
    assert found["failures"] == [{"test": "b", "stage": "import", "reason": "why"}]


def test_with_fallback_counts_the_native_ones_and_those_that_pass_only_then() -> None:
    passes = {"onnxruntime": True, "stage": "", "reason": ""}
    fails = {"onnxruntime": True, "stage": "import", "reason": "why"}
    rows = [
        {"test": "a", **passes, "fallback_stage": ""},
        {"test": "b", **fails, "fallback_stage": "", "fallback_reason": ""},
        {"test": "c", **fails, "fallback_stage": "compare", "fallback_reason": "differs"},
    ]
    found = summary(rows)
    assert (found["native"], found["with_fallback"]) == (1, 2)
    assert found["failures_with_fallback"] == [{"test": "c", "stage": "compare", "reason": "differs"}]


@pytest.mark.slow
def test_real_node_tests_run_and_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    conformance.main(["--only", "test_relu", "--json", str(target)])
    assert json.loads(target.read_text())["native"] == 1
    log = tmp_path / "out.json.tests.jsonl"
    log.write_text(log.read_text().replace('"reason": ""', '"reason": "kept"'))
    conformance.main(["--only", "test_relu*", "--resume", "--json", str(target)])
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [row["test"] for row in rows if row["reason"] == "kept"] == ["test_relu"]
    assert json.loads(target.read_text())["total"] == len(rows)
