"""The server's benchmark: its parts that need no peer and no wrk."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click
import numpy as np
import onnxruntime as ort
import pytest

from benchmarks.server.__main__ import Effort, Measured, bare, serving, spread
from benchmarks.server.client import RAW, Client
from benchmarks.server.goals import Goal, goals
from benchmarks.server.models import CASES, build
from benchmarks.server.peers import lists, open_inference
from benchmarks.timing import times_ms

TINY = CASES[0]


def test_the_server_and_the_bare_session_give_the_same_bytes(tmp_path: Path) -> None:
    model = build(tmp_path / "m.onnx", TINY)
    with serving(model, tmp_path / "server") as port, closing(Client(port)) as client:
        ask = client.post("/invocations", RAW, bytes(16))
        assert ask() == np.zeros((1, 1), np.float32).tobytes()
        assert len(times_ms(ask, 20, warm=2)) == 20
        with pytest.raises(click.ClickException, match=r"answered b'HTTP/1\.1 404"):
            client.post("/nothing", RAW, bytes(16))()
    found = bare(model, 4)()
    assert isinstance(found, list)
    assert found[0].tolist() == [[0.0]]


def test_every_model_gives_each_row_what_it_gets_alone(tmp_path: Path) -> None:
    for case in CASES:
        session = ort.InferenceSession(str(build(tmp_path / "m.onnx", case)))
        rows = np.random.default_rng(0).normal(size=(3, case.width)).astype(np.float32)
        together = session.run(None, {"x": rows})[0]
        alone = [session.run(None, {"x": rows[i : i + 1]})[0] for i in range(3)]
        np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-4, atol=1e-6)


def test_a_figure_is_the_median_with_the_least_and_the_most_of_the_rounds() -> None:
    assert spread([3.0, 1.0, 10.0]) == {"median": 3.0, "least": 1.0, "most": 10.0}


def test_what_a_call_takes_over_the_bare_one_is_noted_for_each_round() -> None:
    measured = Measured(Effort(1, 10, 1))
    measured.latencies({"bare": lambda: None, "plain": lambda: sum(range(20_000))}, 10)
    assert measured.found["plain_p50_ms"][0] > measured.found["plain_over_bare_p50_ms"][0] > 0


def test_both_ways_to_write_rows_hold_the_same_numbers() -> None:
    rows = np.array([[1.5, 2.0]], np.float32)
    assert lists(rows) == b'{"inputs": [[1.5, 2.0]]}'
    assert open_inference(rows) == (
        b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.5, 2.0]}]}'
    )


def figure(value: float) -> dict[str, float]:
    return {"median": value, "least": value, "most": value}


def test_goals_are_held_against_the_better_peer_and_what_was_not_measured_is_said() -> None:
    rates = {
        f"{name}_json_requests_per_s_c{count}": figure(value)
        for name, value in (("plain", 900.0), ("a", 100.0), ("b", 310.0))
        for count in (1, 8, 64)
    }
    figures = {
        "tiny": {"plain_over_bare_p50_ms": figure(0.2), **rates},
        "small": {"plain_p99_ms": figure(1.0), "batching_p99_ms": figure(1.3)},
    }
    found = {goal.what: goal for goal in goals(figures, ("a", "b"))}
    tiny = found["tiny: p50 over a bare session (ms)"]
    assert (tiny.verdict, tiny.bound) == ("goal met", "at most 0.2")
    ratio = found["tiny: requests a second over the better peer's, 8 connections (JSON)"]
    assert (ratio.value, ratio.verdict, ratio.bound) == (2.903, "goal not met", "at least 3")
    assert found["small: p99 at one connection, with batching over that without"].verdict == "goal not met"
    assert found["600 KB: p50 over a bare session (ms)"].verdict == "not measured"
    other = [goal for goal in goals(figures, ("a", "b", "c")) if "better peer" in goal.what]
    assert {goal.verdict for goal in other} == {"not measured"}
    assert Goal("x", 1.0, at_least=1.0).record() == {
        "what": "x",
        "value": 1.0,
        "at_least": 1.0,
        "verdict": "goal met",
    }
