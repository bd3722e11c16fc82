"""Exact rules: each limit by numbers worked by hand, and what is only shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.gate import GateMetric
from modeldyno.gate.exact.errors import Counts, error_metric
from modeldyno.gate.exact.facts import Facts, ParityFacts, facts_of, facts_of_manifest
from modeldyno.gate.exact.rules import exact_metrics
from modeldyno.gate.sides.resolve import resolve
from modeldyno.runtime.records.manifest_file import read_manifest

GOOD = ParityFacts(1e-6, within=True, words="tolerance 0.001")
FACTS = Facts(1_000_000, 1.0, 1.0, 0, GOOD)


def judged(
    candidate: Facts, limits: dict[str, float] | None = None, baseline: Facts = FACTS
) -> dict[str, GateMetric]:
    return {each.metric: each for each in exact_metrics(baseline, candidate, limits or {})}


def test_what_is_not_limited_is_shown_and_passes() -> None:
    found = judged(replace(FACTS, bytes=9_000_000, compiled_share=0.1, fallback_operators=7))
    assert {each.verdict for each in found.values()} == {"pass"}
    assert all(each.exact for each in found.values())
    assert found["artifact_bytes"].text == "code and weights: 1.000 MB to 9.000 MB; shown, not limited"
    assert found["artifact_bytes"].change == 8.0
    assert found["compiled_share"].change == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("changed", "name", "limit", "verdict"),
    [
        ({"bytes": 1_000_000}, "artifact_bytes", 0, "pass"),
        ({"bytes": 1_000_001}, "artifact_bytes", 0, "regression"),
        ({"bytes": 900_000}, "artifact_bytes", 0, "pass"),
        ({"bytes": 1_100_000}, "artifact_bytes", 0.1, "pass"),
        ({"bytes": 1_100_001}, "artifact_bytes", 0.1, "regression"),
        ({"compiled_share": 0.99}, "compiled_share", 0, "regression"),
        ({"compiled_share": 0.99}, "compiled_share", 0.01, "pass"),
        ({"compiled_flops_share": 0.5}, "compiled_flops_share", 0.4, "regression"),
        ({"fallback_operators": 1}, "fallback_operators", 5, "regression"),
        ({"fallback_operators": 0}, "fallback_operators", 0, "pass"),
        ({"parity": replace(GOOD, max_rel=3e-6)}, "parity_max_rel", 1, "regression"),
        ({"parity": replace(GOOD, max_rel=2e-6)}, "parity_max_rel", 1, "pass"),
    ],
)
def test_a_limit_is_a_share_of_the_baselines_value(
    changed: dict[str, object], name: str, limit: float, verdict: str
) -> None:
    found = judged(replace(FACTS, **changed), {name: limit})[name]  # type: ignore[arg-type]
    assert found.verdict == verdict
    assert ("over the limit" in found.text) == (verdict == "regression")


def test_outputs_beyond_their_tolerance_are_a_regression_without_a_limit() -> None:
    found = judged(replace(FACTS, parity=ParityFacts(0.2, within=False, words="tolerance 0.001")))
    assert found["parity_max_rel"].verdict == "regression"
    assert "differ from the source model's by 0.2" in found["parity_max_rel"].text


def test_parity_that_was_not_checked_is_said_and_leaves_a_limit_undecided() -> None:
    unchecked = replace(FACTS, parity=ParityFacts(None, None, "not checked: --no-verify"))
    assert judged(unchecked)["parity_max_rel"].verdict == "pass"
    assert judged(unchecked)["parity_max_rel"].text == "not checked: --no-verify"
    assert judged(unchecked, {"parity_max_rel": 0})["parity_max_rel"].verdict == "inconclusive"


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"artifact_size": 0.0}, "nearest: artifact_bytes"),
        ({"artifact_bytes": -0.1}, "expected 0 or more"),
        ({"artifact_bytes": float("nan")}, "expected 0 or more"),
        ({"compiled_share": 0.0}, "the baseline has no share of operators compiled"),
    ],
)
def test_limits_that_can_not_be_judged_are_refused(limits: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        judged(FACTS, limits, baseline=Facts(bytes=10))


def test_facts_are_those_of_the_artifact_and_of_a_model_its_size(
    models: Path, artifact: Path, segmented: Path
) -> None:
    found = facts_of(resolve(str(artifact), Path("none")))
    assert found.bytes == sum((artifact / name).stat().st_size for name in ("model.so", "weights.bin"))
    assert (found.compiled_share, found.fallback_operators) == (1.0, 0)
    assert found.parity is not None
    assert found.parity.within is True
    model = facts_of(resolve(str(models / "tiny.onnx"), Path("none")))
    assert model == Facts(bytes=(models / "tiny.onnx").stat().st_size)
    cut = facts_of_manifest(read_manifest(segmented))
    assert cut.compiled_share is not None
    assert cut.compiled_share < 1
    assert cut.fallback_operators
    assert {each.metric for each in exact_metrics(model, found, {"artifact_bytes": 1e6})} >= {
        "artifact_bytes"
    }


def test_a_parity_report_is_judged_by_its_own_bounds(artifact: Path) -> None:
    manifest = read_manifest(artifact)
    assert manifest.parity is not None
    row = manifest.parity.outputs[0].model_copy(
        update={"max_abs": 0.02, "max_rel": 0.01, "tolerance": 1e-3, "delta": 0.0, "decided": True}
    )  # max |b| is 2
    for changed, within in (
        ({}, False),
        ({"delta": 0.0023}, True),  # 0.001 x 2 + 8 x 0.0023 = 0.0204
        ({"delta": 0.0022}, False),  # 0.0196
        ({"decided": False}, True),
        ({"max_rel": 1e-3, "max_abs": 0.002}, True),
    ):
        report = manifest.parity.model_copy(update={"outputs": (row.model_copy(update=changed),)})
        found = facts_of_manifest(manifest.model_copy(update={"parity": report})).parity
        assert found is not None
        assert found.within is within


@pytest.mark.parametrize(
    ("before", "now", "limit", "verdict", "said"),
    [
        ([(100, 0)], [(100, 0)], None, "pass", "no request failed on either side"),
        ([(100, 0)], [(100, 1)], None, "regression", "it fails what the baseline answers"),
        ([(100, 0)], [(100, 1)], 0.01, "pass", "within the limit of 1 %"),
        ([(100, 0)], [(100, 2)], 0.01, "regression", "2 of 100 requests failed, 0 of 100 of the baseline"),
        ([(100, 100)], [(100, 100)], None, "pass", "100 of 100"),
        ([(100, 100), (100, 0)], [(100, 100), (100, 1)], None, "regression", "it fails"),
        ([(100, 5)], [(100, 0)], None, "pass", "0 of 100 requests failed"),
        ([(1000, 1)], [(1000, 3)], None, "pass", "no more than chance gives"),
        ([(1000, 1)], [(1000, 30)], None, "regression", "it fails"),
        ([(0, 0)], [(0, 0)], None, "inconclusive", "no requests to compare"),
        ([(10, 0)], [(0, 0)], None, "inconclusive", "no requests to compare"),
    ],
)
def test_requests_that_fail_are_judged_body_by_body(
    before: list[tuple[int, int]], now: list[tuple[int, int]], limit: float | None, verdict: str, said: str
) -> None:
    found = error_metric([Counts(*each) for each in before], [Counts(*each) for each in now], limit)
    assert found.verdict == verdict
    assert said in found.text


def test_the_chance_is_that_of_fishers_exact_test() -> None:
    # 1 of 10 and 6 of 10: sum of C(7, k) C(13, 10 - k) / C(20, 10) for k = 6, 7 is 0.02864 (one-sided).
    from modeldyno.gate.exact import errors

    assert errors._chance(Counts(10, 1), Counts(10, 6)) == pytest.approx(5291 / 184756)
