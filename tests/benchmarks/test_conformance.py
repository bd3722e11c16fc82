"""The node tests of the onnx package, in processes that may die."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import conformance
from benchmarks.conformance import Worker, summary

# Passes every test, but dies on `dies` while it compiles, and never answers on `hangs`.
FAKE = """
import json, os, sys, time
stream = open(sys.argv[2], "a", buffering=1)
for name in open(sys.argv[1]).read().split():
    stream.write(json.dumps({"test": name, "phase": "native", "passes": True}) + "\\n")
    if name == "dies":
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
