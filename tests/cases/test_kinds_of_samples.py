"""Faults that a sample of normal floats and of zeros and ones does not show, each seen by another kind.

The session is ONNX Runtime itself with a fault put in, so that nothing but the check is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from modeldyno.base.errors import ParityError, RequestError
from modeldyno.compiler.check.verify import check_parity
from modeldyno.compiler.frontends.onnx.file import read_onnx
from modeldyno.compiler.model.source import Source, UserInputs
from modeldyno.runtime.records.parity import ParityReport
from modeldyno.runtime.sessions.feeds import random_feeds
from tests.compiler.models import constant, model, node, saved, tensor, weights

Feeds = dict[str, Any]
Fault = Callable[[Feeds, Any], Any]


class Faulty:
    """ONNX Runtime with a fault: `fault` gets the inputs and the right output, and gives the wrong one."""

    def __init__(self, source: Source, fault: Fault) -> None:
        self.source, self.fault = source, fault

    def run(self, feeds: Feeds) -> Feeds:
        ((name, right),) = self.source.reference(feeds).items()
        return {name: self.fault(feeds, right.copy())}


def unchanged(_feeds: Feeds, right: Any) -> Any:
    return right


def read(
    folder: Path, nodes: list[Any], inputs: list[Any], values: Sequence[Any] = (), *, out: int = 1
) -> Source:
    made = model(nodes, inputs, [tensor("y", [None], out)], values, opset=18)
    made.graph.output[0].type.tensor_type.ClearField("shape")
    return read_onnx(saved(folder / "net.onnx", made), {})


def checked(source: Source, session: Any, seed: int = 0) -> ParityReport:
    return check_parity(source, session, seed=seed, tolerance=1e-4, target="host")


def refused(source: Source, fault: Fault, kind: str) -> None:
    """Assert that a fault is seen on a kind of sample, and that the one sample of before does not show it."""
    old = random_feeds(source.inputs, 0)
    session = Faulty(source, fault)
    right, wrong = (next(iter(run(old).values())) for run in (source.reference, session.run))
    assert np.array_equal(right, wrong, equal_nan=True)
    assert "normal" in [sample.kind for sample in checked(source, Faulty(source, unchanged)).samples]
    with pytest.raises(ParityError, match=f"kind '{kind}'"):
        checked(source, session)


def lookup(folder: Path) -> Source:
    return read(
        folder,
        [node("Gather", "t ids", "y")],
        [tensor("ids", [64], TensorProto.INT64)],
        [weights("t", 4000, 3)],
    )


def test_an_index_near_the_end_of_its_table(tmp_path: Path) -> None:
    def fault(feeds: Feeds, right: Any) -> Any:
        right[feeds["ids"] == 3999] = 0
        return right

    refused(lookup(tmp_path), fault, "ends")


def test_an_index_that_counts_from_the_end(tmp_path: Path) -> None:
    def fault(feeds: Feeds, right: Any) -> Any:
        right[feeds["ids"] < 0] = 0
        return right

    refused(lookup(tmp_path), fault, "ends")


def test_a_quotient_of_another_sign(tmp_path: Path) -> None:
    inputs = [tensor("x", [16], TensorProto.INT64)]
    source = read(
        tmp_path, [node("Div", "x four", "y")], inputs, [constant("four", 4)], out=TensorProto.INT64
    )
    refused(source, lambda feeds, _right: feeds["x"] // 4, "ends")


def test_the_least_whole_number(tmp_path: Path) -> None:
    inputs = [tensor("x", [4, 4], TensorProto.INT32)]
    source = read(tmp_path, [node("ReduceMax", "x", "y", keepdims=0)], inputs, out=TensorProto.INT32)
    refused(source, lambda feeds, _right: feeds["x"].astype(np.int8).max().astype(np.int32), "ends")


def elementwise(folder: Path, kind: str) -> Source:
    return read(folder, [node(kind, "x", "y")], [tensor("x", [4, 8])])


def test_large_values(tmp_path: Path) -> None:
    def fault(_feeds: Feeds, right: Any) -> Any:
        return np.minimum(right, 88.0)

    refused(elementwise(tmp_path, "Softplus"), fault, "large")


def test_values_that_are_all_negative(tmp_path: Path) -> None:
    source = read(tmp_path, [node("ReduceMax", "x", "y", keepdims=0)], [tensor("x", [4, 8])])
    refused(source, lambda _feeds, right: np.maximum(right, 0), "negative")


def test_ties(tmp_path: Path) -> None:
    def fault(feeds: Feeds, _right: Any) -> Any:
        return 7 - np.argmax(feeds["x"][:, ::-1], axis=1)[:, None]

    source = read(tmp_path, [node("ArgMax", "x", "y", axis=1)], [tensor("x", [4, 8])], out=TensorProto.INT64)
    refused(source, fault, "equal")


def test_a_norm_of_nothing(tmp_path: Path) -> None:
    def fault(feeds: Feeds, right: Any) -> Any:
        return right if feeds["x"].any() else np.full_like(right, np.nan)

    nodes = [node("ReduceL2", "x", "n"), node("Max", "n eps", "m"), node("Div", "x m", "y")]
    source = read(tmp_path, nodes, [tensor("x", [4, 8])], [constant("eps", 1e-9, "float32")])
    refused(source, fault, "zeros")


def test_small_values(tmp_path: Path) -> None:
    def fault(feeds: Feeds, right: Any) -> Any:
        return np.where(np.abs(feeds["x"]).max() < 1e-2, np.sign(right), right)

    refused(elementwise(tmp_path, "Tanh"), fault, "tiny")


def test_masks_of_minus_infinity(tmp_path: Path) -> None:
    def fault(feeds: Feeds, right: Any) -> Any:
        return np.full_like(right, np.nan) if np.isinf(feeds["m"]).any() else right

    nodes = [node("MatMul", "x w", "s"), node("Add", "s m", "t"), node("Softmax", "t", "y")]
    inputs = [tensor("x", [3, 4]), tensor("m", [3, 9])]
    refused(read(tmp_path, nodes, inputs, [weights("w", 4, 9)]), fault, "mask")


def test_an_image_of_bytes(tmp_path: Path) -> None:
    def fault(feeds: Feeds, right: Any) -> Any:
        return right * 2 if feeds["x"].max() > 100 and feeds["x"].min() >= 0 else right

    nodes = [node("Conv", "x w", "y", kernel_shape=[3, 3])]
    refused(read(tmp_path, nodes, [tensor("x", [1, 3, 9, 9])], [weights("w", 4, 3, 3, 3)]), fault, "image")


def test_flags_that_are_all_set(tmp_path: Path) -> None:
    def fault(feeds: Feeds, right: Any) -> Any:
        return right * 2 if feeds["c"].all() else right

    inputs = [tensor("c", [8], TensorProto.BOOL), tensor("x", [8])]
    source = read(tmp_path, [node("Where", "c x zero", "y")], inputs, [constant("zero", 0, "float32")])
    refused(source, fault, "equal")


def test_an_artifact_that_remembers(tmp_path: Path) -> None:
    source = elementwise(tmp_path, "Tanh")
    calls: list[int] = []

    def fault(_feeds: Feeds, right: Any) -> Any:
        calls.append(1)
        return right if len(calls) < len(samples) + 1 else right + 1

    samples = checked(source, Faulty(source, unchanged)).samples
    with pytest.raises(ParityError, match="output 'y' of the artifact is another when it is called"):
        checked(source, Faulty(source, fault))


def test_a_source_model_that_is_no_function_is_told(tmp_path: Path) -> None:
    source = elementwise(tmp_path, "Tanh")
    calls: list[int] = []

    def counts(feeds: Feeds) -> Feeds:
        calls.append(1)
        return {"y": source.reference(feeds)["y"] + len(calls)}

    stateful = replace(source, reference=counts)
    same = Faulty(source, lambda _feeds, right: right + len(calls))
    with pytest.raises(ParityError, match="it has state or draws random numbers"):
        checked(stateful, same)


def test_a_draw_that_the_source_model_refuses_is_replaced_and_counted(tmp_path: Path) -> None:
    source = elementwise(tmp_path, "Tanh")
    refusals: list[int] = []

    def picky(feeds: Feeds) -> Feeds:
        if feeds["x"].max() > 1e3 and not refusals:
            refusals.append(1)
            raise ValueError("too large")
        if not feeds["x"].any():
            raise ValueError("nothing")
        return source.reference(feeds)

    report = checked(replace(source, reference=picky), Faulty(source, unchanged))
    assert {sample.kind: sample.redrawn for sample in report.samples} == {
        "normal": 0,
        "large": 1,
        "equal": 0,
        "negative": 0,
        "tiny": 0,
    }
    assert report.not_run == ("zeros",)


def test_a_request_that_only_one_of_the_two_refuses_is_a_difference_with_its_own_words(
    tmp_path: Path,
) -> None:
    source = lookup(tmp_path)

    def refuses(feeds: Feeds, right: Any) -> Any:
        if (feeds["ids"] == 3999).any():
            raise RequestError("index 3999 of Gather 'y' is beyond its table")
        return right

    with pytest.raises(
        ParityError, match=r"the artifact refuses inputs of the kind 'ends' \(index 3999 .*answers"
    ):
        checked(source, Faulty(source, refuses))

    record = UserInputs("beyond.npz", "d", {"ids": np.full(64, 4000)})
    asked = replace(source, records=(record,))
    answers = Faulty(source, unchanged)
    answers.run = lambda feeds: source.reference({"ids": np.minimum(feeds["ids"], 3999)})  # type: ignore[method-assign] # it answers what the source model does not
    with pytest.raises(
        ParityError, match=r"onnxruntime .* refuses the inputs of beyond\.npz .*artifact answers"
    ):
        checked(asked, answers)

    both = Faulty(source, unchanged)

    def run(feeds: Feeds) -> Feeds:
        if (feeds["ids"] >= 4000).any():
            raise RequestError("beyond")
        return source.reference(feeds)

    both.run = run  # type: ignore[method-assign] # see above
    assert {sample.kind: sample.refused for sample in checked(asked, both).samples} == {
        "normal": False,
        "file": True,
        "ends": False,
        "zeros": False,
    }


def test_a_big_model_is_checked_on_two_kinds_at_least(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modeldyno.compiler.check import sample_runs

    monkeypatch.setattr(sample_runs, "BUDGET_S", 0.0)
    monkeypatch.setattr(sample_runs, "BUDGET_RUNS", 0)
    report = checked(elementwise(tmp_path, "Tanh"), Faulty(elementwise(tmp_path, "Tanh"), unchanged))
    assert [sample.kind for sample in report.samples] == ["normal", "large"]
    assert report.not_run == ("equal", "negative", "zeros", "tiny")
