"""Random models: what a difference is called, seeds that end their process, a wrong kernel that is found."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.fuzz import __main__ as fuzz
from benchmarks.fuzz import draw as fuzz_draw
from benchmarks.fuzz.__main__ import Runner, summary
from benchmarks.fuzz.compare import Differences, Judge, ancestry, difference, tensors_before
from benchmarks.fuzz.draw import DECADES, LARGE, NON_FINITE, NORMAL, draw, draw_foreign, draw_open, feeds
from benchmarks.fuzz.graph import Graph, session_of
from benchmarks.fuzz.kinds import _compare_onnx, kind_of
from benchmarks.fuzz.referee import in_double
from modeldyno.compiler.options import Options
from tests.compiler.models import model, node, saved, tensor
from tests.compiler.relaxed import Array

# Answers every seed, but dies on 3 and never ends 5.
FAKE = """
import json, os, sys, time
stream = open(sys.argv[3], "a", buffering=1)
for seed in range(int(sys.argv[1]), int(sys.argv[2])):
    stream.write(json.dumps({"seed": seed, "phase": "begin"}) + "\\n")
    if seed == 3:
        print("it hurts", flush=True)
        os.abort()
    if seed == 5:
        time.sleep(600)
    stream.write(json.dumps({"seed": seed, "verdict": "ok"}) + "\\n")
"""


@pytest.fixture
def fake(tmp_path: Path) -> tuple[str, ...]:
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    return sys.executable, str(script)


def test_a_crash_and_a_hang_are_verdicts_of_their_seeds_alone(tmp_path: Path, fake: tuple[str, ...]) -> None:
    rows = list(Runner([2, 3, 4, 5, 6, 9], tmp_path, 0.6, command=fake).rows())
    assert [(row["seed"], row["verdict"]) for row in rows] == [
        *((2, "ok"), (3, "CRASH"), (4, "ok"), (5, "HANG"), (6, "ok"), (9, "ok"))
    ]
    assert "it hurts" in rows[1]["message"]


def test_a_seed_that_uses_up_its_time_of_the_processor_hangs(tmp_path: Path) -> None:
    script = tmp_path / "busy.py"
    script.write_text(FAKE.replace("time.sleep(600)", "[None for _ in iter(int, 1)]"))
    rows = list(Runner([5, 6], tmp_path, 0.5, command=(sys.executable, str(script))).rows())
    assert [(row["seed"], row["verdict"]) for row in rows] == [(5, "HANG"), (6, "ok")]


def test_an_interrupted_run_goes_on_behind_what_it_has(
    tmp_path: Path, fake: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fuzz, "COMMAND", fake)
    file = tmp_path / "runs" / "fuzz.json"
    file.parent.mkdir()
    kept = {"seed": 3, "verdict": "loose", "loose": ["kind 2 t1: relative error 1"]}
    file.with_suffix(".json.seeds.jsonl").write_text(json.dumps(kept) + '\n{"seed": 4, "verd')
    fuzz.main(["--seeds", "2..5", "--resume", "--json", str(file)])
    document = json.loads(file.read_text())
    assert document["verdicts"] == {"ok": 2, "loose": 1}
    assert document["loose_or_refused_share"] == pytest.approx(1 / 3, abs=1e-4)
    assert "3  loose: kind 2 t1" in capsys.readouterr().out


def test_a_fault_ends_with_1_and_is_in_the_file(
    tmp_path: Path, fake: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz, "COMMAND", fake)
    with pytest.raises(SystemExit) as ended:
        fuzz.main(["--seeds", "2..4", "--json", str(tmp_path / "fuzz.json")])
    assert ended.value.code == 1
    assert [row["seed"] for row in json.loads((tmp_path / "fuzz.json").read_text())["faults"]] == [3]


@pytest.mark.parametrize("text", ["9", "5..5", "a..b", "7..3"])
def test_seeds_are_a_range(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    if text == "9":
        assert list(fuzz._seeds(text)) == [9]
        return
    with pytest.raises(SystemExit):
        fuzz.main(["--seeds", text])
    assert "is no range of seeds such as 0..500" in capsys.readouterr().err


def judged(kind: int, right: Array, got: Array, **facts: Any) -> Differences:
    found = Differences()
    same = {"x": np.ones(3, np.float32)}
    Judge(lambda _given: {"y": right}, lambda _given: {"y": got}, **facts).compare(kind, same, found)
    return found


def test_a_difference_is_wrong_unless_the_model_is_to_blame() -> None:
    right, got = np.array([1, 2, 3], np.float32), np.array([1, 2, 3.1], np.float32)
    assert judged(NORMAL, right, right).verdict == "ok"
    assert judged(NORMAL, right, got).verdict == "WRONG"
    assert judged(DECADES, right, got, jumpy=frozenset({"y"})).verdict == "loose"
    assert judged(NON_FINITE, right, got).verdict == "nan-differs"
    named = {"named": frozenset({"Resize"}), "behind": lambda _name: frozenset({"Resize", "Add"})}
    assert judged(NON_FINITE, right, got, **named).verdict == "ok"
    assert judged(LARGE, right, got, **named).verdict == "WRONG"


def test_what_overflows_inside_counts_as_an_infinity_that_was_given() -> None:
    right, got = np.array([1, 2], np.float32), np.array([1, np.nan], np.float32)
    inside = {
        "inner": lambda _given: {"a": np.array([np.inf], np.float32), "b": right},
        "before": lambda _name: frozenset({"a", "y"}),
    }
    elsewhere = inside | {"before": lambda _name: frozenset({"b", "y"})}
    named = {"named": frozenset({"Conv"}), "behind": lambda _name: frozenset({"Conv"})}
    assert judged(LARGE, right, got, **inside).verdict == "nan-differs"
    assert judged(LARGE, right, got, **inside, **named).verdict == "ok"
    assert judged(LARGE, right, got, **elsewhere, **named).verdict == "WRONG"
    assert judged(NORMAL, right, got, **inside, **named).verdict == "WRONG"
    assert judged(LARGE, right, right * 2, **inside, **named).verdict == "WRONG"


def test_a_graph_that_an_ordinary_session_refuses_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = draw(7)
    sessions = session_of
    refusals = iter([True])

    def refuses_once(model: Any, *, optimized: bool = False) -> Any:
        if optimized and next(refusals, False):
            raise RuntimeError("an optimization made what it refuses itself")
        return sessions(model, optimized=optimized)

    monkeypatch.setattr(fuzz_draw, "session_of", refuses_once)
    assert draw(7)[0].seed != first.seed


def test_what_moves_by_itself_may_differ_as_much() -> None:
    moving = iter(np.array([1, 1.5, 1, 1], np.float32))
    found = Differences()
    judge = Judge(lambda _: {"y": np.full(2, next(moving))}, lambda _: {"y": np.full(2, 1.4, np.float32)})
    judge.compare(NORMAL, {"x": np.ones(3, np.float32)}, found)
    assert found.verdict == "ok"


@pytest.mark.parametrize(
    ("right", "got", "said"),
    [
        ([1.0, np.nan], [1.0, np.nan], ""),
        ([1.0, np.inf], [1.0, -np.inf], "1 of 2 differ in NaN/Inf: at [1] -inf, expected inf"),
        ([1.0, 2.0], [1.0, np.nan], "1 of 2 differ in NaN/Inf: at [1] nan, expected 2.0"),
        ([3e38, 1.0], [np.inf, 1.0], ""),
        ([0.0, 100.0], [0.05, 100.0], ""),
        ([0.0, 100.0], [0.5, 100.0], "relative error 0.005"),
    ],
)
def test_differences_are_told_in_words(right: list[float], got: list[float], said: str) -> None:
    assert difference(np.array(right, np.float32), np.array(got, np.float32), 1e-3) == said


def test_an_error_of_onnx_runtime_is_none_of_the_artifact() -> None:
    # A running sum of squares over the channels: 1e6 is added and taken off, and 0.01 is lost in it.
    large = np.array([1e4, 1, 1, 1], np.float32).reshape(1, 4, 1, 1)
    lrn = model(
        [node("LRN", "x", "y", size=1, alpha=0.01, beta=0.75, bias=1.0)],
        [tensor("x", (1, 4, 1, 1))],
        [tensor("y", (1, 4, 1, 1))],
    )
    right = large / (1 + 0.01 * large.astype(np.float64) ** 2) ** 0.75
    session = session_of(lrn)

    def verdict(factor: float) -> str:
        judge = Judge(
            source=lambda given: {"y": session.run(None, given)[0]},
            ours=lambda _given: {"y": (right * factor).astype(np.float32)},
            referee=lambda given: in_double(lrn, given),
        )
        found = Differences()
        judge.compare(NORMAL, {"x": large}, found)
        return found.verdict

    assert verdict(1.0) == "loose"
    assert verdict(1.1) == "WRONG"


def test_what_stands_before_an_output_is_known() -> None:
    behind = ancestry([node("Resize", "x", "a"), node("Add", "a b", "c"), node("Relu", "x", "d")])
    assert behind("c") == {"Resize", "Add"}
    assert behind("d") == {"Relu"}
    before = tensors_before([node("Resize", "x", "a"), node("Add", "a b", "c"), node("Relu", "x", "d")])
    assert before("c") == {"x", "a", "b", "c"}


def test_refusals_and_loose_ones_are_counted_together() -> None:
    rows = [
        {"seed": seed, "verdict": verdict} for seed, verdict in enumerate(("ok", "loose", "refused", "ok"))
    ]
    assert summary(rows)["loose_or_refused_share"] == 0.5
    assert summary([])["loose_or_refused_share"] == 0.0


def test_a_refusal_without_operator_or_way_out_is_counted() -> None:
    said = {"verdict": "refused", "operators": ["OneHot"]}
    words = (
        "OneHot can't be compiled: `--fallback onnxruntime`",
        "OneHot can't be compiled",
        "it: `tolerance`",
        "OneHot differs. `fallback=onnxruntime` runs it there",
        "OneHot can't be compiled: `dump_dir` names a folder",
        "aten.one_hot.default can't be compiled: `dyno serve` runs it",
    )
    rows = [{"seed": seed, "message": each, **said} for seed, each in enumerate(words)]
    assert summary(rows)["unclear_refusals"] == [1, 2, 4]


def test_a_seed_gives_the_same_model_and_inputs_again() -> None:
    (first, model), (again, same) = draw(1), draw(1)
    assert model.SerializeToString() == same.SerializeToString()
    for kind in range(4):
        a, b = feeds(first, kind), feeds(again, kind)
        assert all(np.array_equal(a[name], b[name], equal_nan=a[name].dtype.kind == "f") for name in a)


def test_open_and_foreign_graphs_have_what_they_are_drawn_for() -> None:
    _, opened = draw_open(8)
    assert opened.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "n"
    _, foreign = draw_foreign(9)
    assert "com.microsoft" in {each.domain for each in foreign.graph.node}
    assert [kind_of(seed) for seed in (6, 7, 8, 9)] == ["graph", "torch", "range", "fallback"]


def test_a_kernel_that_is_wrong_for_large_numbers_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tvm import te, tirx

    from modeldyno.compiler.lower import fast_math

    def wrong(data: Any) -> Any:
        right, far = fast_math.sigmoid(data), tirx.const(50, "float32")
        one_more = lambda *axes: tirx.Select(data[axes] > far, right[axes] * far, right[axes])  # noqa: E731
        return te.compute(data.shape, one_more, name="sigmoid")

    graph = Graph(0)
    graph.v["in0"] = np.ones((3, 40), np.float32)
    graph.inputs.append("in0")
    graph.add("Sigmoid", ["in0"])
    (tmp_path / "right").mkdir()
    path = saved(tmp_path / "right" / "model.onnx", graph.model())
    assert _compare_onnx(graph, path, Options(), {}, (0,))["verdict"] == "ok"
    path = saved(tmp_path / "model.onnx", graph.model())
    monkeypatch.setitem(fast_math.FAST_MATH, "relax.sigmoid", fast_math._element_wise(wrong))
    row = _compare_onnx(graph, path, Options(verify=False), {}, (0,))  # the check would refuse it itself
    assert row["verdict"] == "WRONG"
    assert row["wrong"][0].startswith(f"kind {DECADES}")


def test_two_seeds_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fuzz.main(["--seeds", "10034..10036", "--json", str(tmp_path / "fuzz.json"), "--keep", str(tmp_path)])
    assert capsys.readouterr().out.startswith("2 seeds: 2 ok\n")
    assert (tmp_path / "fuzz10035.onnx").exists()
    lines = (tmp_path / "fuzz.json.seeds.jsonl").read_text().splitlines()
    assert [json.loads(line)["seed"] for line in lines] == [10034, 10035]
