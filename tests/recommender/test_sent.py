"""What the candidates are sent, and how a run knows that it was the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.record import TensorSpec
from modeldyno.recommender.job.job import Job
from modeldyno.recommender.job.trial_orders import body_order
from modeldyno.trials.measure.sent import Sent, sent


def inputs(rows: int) -> tuple[TensorSpec, ...]:
    return (TensorSpec(name="x", dtype="float32", shape=(rows, 3)),)


def of(load: dict[str, object], *rows: int) -> Sent:
    return sent(body_order(Job.model_validate({"load": load})), [inputs(each) for each in rows or (1,)])


def test_each_shape_that_is_sent_is_a_kind_of_its_own_in_equal_shares() -> None:
    found = of({}, 1, 8)
    assert [(kind.name, kind.weight) for kind in found.mix.kinds] == [("x 1x3", 1.0), ("x 8x3", 1.0)]
    (alone,) = of({}, 1).mix.kinds
    assert alone.name == ""


def test_samples_are_read_from_folders_by_weight_and_by_row(tmp_path: Path) -> None:
    for name, rows in (("small", 2), ("large", 5)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "a.npy", np.zeros((rows, 3), "float32"))
    found = of({"payload": {tmp_path / "small": 3, tmp_path / "large": 1}})
    assert [(kind.name, kind.weight) for kind in found.mix.kinds] == [("small", 3.0), ("large", 1.0)]
    (by_row,) = of({"payload": str(tmp_path / "large"), "rows": True}).mix.kinds
    assert len(by_row.bodies) == 5
    (tmp_path / "small" / "a.npy").write_bytes(b"no array")
    with pytest.raises(ConfigError, match="is no valid application/x-npy"):
        of({"payload": {tmp_path / "small": 3}})


def test_other_bodies_weights_and_times_are_another_load(tmp_path: Path) -> None:
    trace, one, other = tmp_path / "trace.csv", tmp_path / "a.npy", tmp_path / "b.npy"
    trace.write_text("0\n1\n3\n")
    for path in (one, other):
        np.save(path, np.zeros((1, 3), "float32"))
    traced: dict[str, object] = {"trace": trace}
    mixed: dict[str, object] = {"payload": {one: 1, other: 1}}
    digests = [of({}).digest, of(traced).digest, of(mixed).digest, of({"payload": {one: 2, other: 1}}).digest]
    digests.append(of({}, 1, 8).digest)
    trace.write_text("0\n1\n4\n")
    np.save(one, np.ones((1, 3), "float32"))
    digests += [of(traced).digest, of(mixed).digest]
    assert len(set(digests)) == len(digests)
    assert of({}).digest == digests[0]


def test_a_trace_has_its_own_rate(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("10\n11\n14\n")
    assert of({"trace": trace}).trace_rps == 0.5
