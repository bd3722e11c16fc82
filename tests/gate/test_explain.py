"""What makes the difference: kernels of two profiles, fields of two manifests, and two real artifacts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from modeldyno.compiler import compile_model
from modeldyno.compiler.options import Options
from modeldyno.gate.explain.fields import field_changes
from modeldyno.gate.explain.kernels import OUTSIDE, kernel_changes, settled
from modeldyno.gate.explain.profiles import ProfileRounds, explain
from modeldyno.gate.sides.resolve import resolve
from modeldyno.runtime.records.manifest_file import read_manifest
from modeldyno.runtime.records.weights import ArgumentSpec
from modeldyno.runtime.tools.profile_records import KernelTime, Profile
from tests.compiler.models import model, node, saved, tensor, weights
from tests.recommender.tiny import processes_naming

FEW = ProfileRounds(rounds=2, inferences=20, threads=1)


def kernel(name: str, ms: float, *, rows: int = 1, kind: str | None = "conv2d", calls: int = 1) -> KernelTime:
    shape = ArgumentSpec(dtype="float32", shape=(rows, 8))
    return KernelTime(
        name=name,
        kind=kind,
        calls=calls,
        p25_ms=ms,
        p50_ms=ms,
        p75_ms=ms,
        share_of_total=0.1,
        gflop=None,
        gflop_per_s=None,
        share_of_peak=None,
        gb_per_s=None,
        inputs=(shape,) if kind else (),
        outputs=(shape,) if kind else (),
    )


def profile(kernels: Sequence[KernelTime], outside_ms: float = 1.0) -> Profile:
    inside_ms = sum(each.p50_ms for each in kernels)
    total_ms = inside_ms + outside_ms
    return Profile(
        artifact="a",
        model="m",
        target="host",
        cpu_model="cpu",
        threads=1,
        repeats=5,
        total_p25_ms=total_ms,
        total_p50_ms=total_ms,
        total_p75_ms=total_ms,
        kernels_p50_ms=inside_ms,
        outside_kernels_ms=outside_ms,
        observed_total_p50_ms=total_ms,
        observer_us_per_call=1.0,
        core_peak_gflop_per_s=None,
        core_peak_p50_gflop_per_s=None,
        peak_cores=1,
        kernels=tuple(kernels),
        builtins=(),
    )


def told(before: Sequence[KernelTime], now: Sequence[KernelTime]) -> dict[str, float]:
    return {each.name: round(each.share, 6) for each in kernel_changes(profile(before), profile(now))}


def test_kernels_are_told_by_their_share_of_the_whole_difference_the_largest_first() -> None:
    before = [kernel("a", 4), kernel("b", 4), kernel("c", 2)]
    now = [kernel("a", 5), kernel("b", 8), kernel("c", 1)]
    found = kernel_changes(profile(before, 1.0), profile(now, 2.0))  # 11 ms to 16 ms
    assert [(each.name, each.share) for each in found] == [
        ("b", 0.8),
        ("a", 0.2),
        (OUTSIDE, 0.2),
        ("c", -0.2),
    ]
    assert (found[0].baseline_ms, found[0].candidate_ms) == (4, 8)
    assert sum(each.share for each in found) == pytest.approx(1)


def test_a_kernel_with_another_number_in_its_name_is_the_same_by_what_it_computes() -> None:
    before = [kernel("conv", 4, rows=1), kernel("conv_1", 2, rows=2)]
    now = [kernel("conv", 3, rows=9), kernel("conv_1", 4, rows=1), kernel("conv_2", 3, rows=2)]
    assert told(before, now) == {"conv": 0.75, "conv_1 -> conv_2": 0.25}


def test_a_fused_kernel_is_shown_as_left_and_new() -> None:
    before = [kernel("conv", 2, rows=1), kernel("relu", 1, rows=2)]
    now = [kernel("conv_relu", 4, rows=3)]
    found = {each.name: each for each in kernel_changes(profile(before), profile(now))}
    assert (found["conv_relu"].baseline_ms, found["conv_relu"].candidate_ms) == (None, 4)
    assert (found["relu"].baseline_ms, found["relu"].candidate_ms) == (1, None)
    assert {name: each.share for name, each in found.items()} == {"conv_relu": 4, "relu": -1, "conv": -2}


def test_kernels_of_one_name_stay_together_when_their_work_changed_or_is_not_known() -> None:
    assert told([kernel("a", 1, calls=1)], [kernel("a", 2, calls=2)]) == {"a": 1}
    assert told([kernel("a", 1, kind=None)], [kernel("a", 2, kind=None)]) == {"a": 1}
    strangers = told([kernel("a", 1, kind=None)], [kernel("b", 2, kind=None)])
    assert strangers == {"b": 2, "a": -1}


def test_what_is_less_than_a_hundredth_is_not_told_and_nothing_where_nothing_is_slower() -> None:
    assert told([kernel("a", 1), kernel("b", 1)], [kernel("a", 2), kernel("b", 1.009)]) == {"a": 0.991080}
    assert told([kernel("a", 2)], [kernel("a", 2)]) == {}
    assert told([kernel("a", 2)], [kernel("a", 1)]) == {}


def test_several_profiles_settle_on_their_medians() -> None:
    found = settled([profile([kernel("a", ms)], outside) for ms, outside in ((1, 1), (9, 1), (2, 5))])
    assert found.kernels[0].p50_ms == 2
    assert (found.total_p50_ms, found.kernels_p50_ms, found.outside_kernels_ms) == (7, 2, 5)


def test_fields_that_differ_are_told_and_times_are_not(artifact: Path, again: Path) -> None:
    one, other = read_manifest(artifact), read_manifest(again)
    assert field_changes(one, other) == ()
    changed = other.model_copy(update={"options": {**other.options, "winograd": "False"}, "kernels": ()})
    found = {each.field: (each.baseline, each.candidate) for each in field_changes(one, changed)}
    name = one.kernels[0].name
    assert found.pop("options.winograd") == ("True", "False")
    before, now = found.pop(f"kernels.{name}")
    assert before.startswith("1 x dense")
    assert now == "-"
    assert found == {}


def test_settings_are_compared_where_there_is_no_manifest() -> None:
    (found,) = field_changes(None, None, {"threads": 1, "workers": 2}, {"threads": 2, "workers": 2})
    assert (found.field, found.baseline, found.candidate) == ("server.threads", "1", "2")


def test_segments_and_buckets_are_compared(ranged: Path, segmented: Path) -> None:
    fields = {each.field for each in field_changes(read_manifest(ranged), read_manifest(segmented))}
    assert any(name.startswith("segments.") for name in fields)
    assert any(name.startswith("buckets.buckets/") for name in fields)


@pytest.fixture(scope="module")
def slower(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A product of 256 x 256, and the same with a product of 512 x 512 beside it."""
    folder = tmp_path_factory.mktemp("slower")
    for name, size in (("before", 16), ("after", 512)):
        made = model(
            [node("MatMul", "x w", "a"), node("MatMul", "z v", "b")],
            [tensor("x", [64, 256]), tensor("z", [size, size])],
            [tensor("a", [64, 256]), tensor("b", [size, size])],
            [weights("w", 256, 256), weights("v", size, size)],
        )
        compile_model(saved(folder / f"{name}.onnx", made), folder / name, options=Options(verify=False))
    return folder / "before", folder / "after"


def test_real_profiles_name_the_kernel_that_got_slower_first(
    slower: tuple[Path, Path], tmp_path: Path
) -> None:
    before, after = (resolve(str(path), Path("none")) for path in slower)
    found = explain(before, after, tmp_path, FEW, ({"threads": 1}, {"threads": 1}))
    assert found.reason == ""
    assert found.kernels[0].share > 0.5
    assert "inputs" in {each.field for each in found.fields}
    assert len(list(tmp_path.iterdir())) == 4
    assert processes_naming(slower[0].parent) == []


def test_what_can_not_be_profiled_is_a_reason(
    models: Path, artifact: Path, segmented: Path, tmp_path: Path
) -> None:
    sides = {path: resolve(str(path), Path("none")) for path in (models / "tiny.onnx", artifact, segmented)}
    onnx, compiled, parts = sides.values()
    assert "has no kernels to be timed" in explain(onnx, compiled, tmp_path, FEW).reason
    cut = explain(parts, compiled, tmp_path, FEW)
    assert "an artifact of segments can't be observed as one" in cut.reason
    assert cut.fields
    assert "took longer than" in explain(compiled, compiled, tmp_path, ProfileRounds(limit_s=0.01)).reason
    gone = shutil.copytree(artifact, tmp_path / "gone")
    side = resolve(str(gone), Path("none"))
    shutil.rmtree(gone)
    assert "is no artifact" in explain(side, compiled, tmp_path, FEW).reason
