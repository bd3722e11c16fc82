"""From a model to an artifact folder: whole, or not at all."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modeldyno.base.digests import digest_file
from modeldyno.base.errors import CompileError, OutputError, ParityError
from modeldyno.compiler import Options, compile_model
from modeldyno.compiler.artifact.outputs import check_output
from modeldyno.compiler.check.compare import compare
from modeldyno.compiler.frontends.onnx.file import read_onnx
from modeldyno.compiler.stages import cpu
from modeldyno.compiler.stages.base import Recipe
from modeldyno.runtime.records.manifest import LIBRARY_NAME, MANIFEST_NAME
from modeldyno.runtime.records.manifest_file import read_manifest
from modeldyno.runtime.records.weights import WEIGHTS_NAME
from tests.compiler.models import add_net, conv_net, mlp, saved

STAGES = [
    *("read", "import", "guard", "canonicalize", "reshape_convs", "fold_batch_norm", "decompose", "fold"),
    *("fuse_norms", "fuse_attention", "fold_padding", "channels_last", "fold_layout", "sink_reshapes"),
    *("lower_attention", "lower_products", "legalize", "lower_rest", "fuse", "kernel_facts", "schedule"),
    *("peak", "plan_memory", "generate", "link", "verify"),
]


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return saved(tmp_path / "net.onnx", conv_net())


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_an_artifact_says_what_it_was_made_from_and_with(net: Path, tmp_path: Path) -> None:
    stages: list[str] = []
    given = compile_model(
        net, tmp_path / "out", options=Options(seed=7, tolerance=1e-3), on_stage=stages.append
    )
    manifest = read_manifest(tmp_path / "out")
    assert given == manifest
    assert names(tmp_path / "out") == sorted([MANIFEST_NAME, LIBRARY_NAME, WEIGHTS_NAME])
    assert (manifest.model, manifest.frontend) == ("net.onnx", "onnx")
    assert [(spec.name, spec.dtype, spec.shape) for spec in manifest.inputs] == [
        ("image", "float32", (1, 3, 12, 12))
    ]
    assert [(spec.name, spec.dtype, spec.shape) for spec in manifest.outputs] == [
        ("logits", "float32", (1, 5))
    ]
    assert manifest.options == {
        "tolerance": "0.001",
        "winograd": "True",
        "seed": "7",
        "verify": "True",
        "fallback": "none",
    }
    assert {"apache-tvm", "onnx", "onnxruntime", "numpy", "modeldyno"} <= manifest.toolchain.keys()
    assert manifest.source_digest == read_onnx(net, {}).digest
    library = tmp_path / "out" / LIBRARY_NAME
    assert (manifest.library_bytes, manifest.library_digest) == (library.stat().st_size, digest_file(library))
    weights = tmp_path / "out" / WEIGHTS_NAME
    assert manifest.weights is not None
    assert (manifest.weights.bytes, manifest.weights.digest) == (weights.stat().st_size, digest_file(weights))
    assert stages == STAGES
    assert [stage.stage for stage in manifest.stages] == STAGES[1:]
    assert all(stage.seconds >= 0 for stage in manifest.stages)
    assert manifest.parity is not None
    assert (manifest.parity.seed, manifest.parity.tolerance_max_rel) == (7, 1e-3)
    (parity,) = manifest.parity.outputs
    assert parity.max_rel <= 1e-5
    assert parity.cosine > 0.999999


def test_a_small_mlp_agrees_with_its_source(tmp_path: Path) -> None:
    manifest = compile_model(
        saved(tmp_path / "mlp.onnx", mlp("rows")), tmp_path / "out", shapes={"x": (3, 8)}
    )
    assert manifest.parity is not None
    assert manifest.parity.outputs[0].max_rel <= 1e-5


def test_without_verification_there_is_no_parity_in_the_manifest(net: Path, tmp_path: Path) -> None:
    manifest = compile_model(net, tmp_path / "out", options=Options(verify=False))
    assert manifest.parity is None
    assert [stage.stage for stage in manifest.stages] == STAGES[1:-1]


def wrong_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a stage into the pipeline that makes every weight a little larger."""
    from modeldyno.compiler.stages import cpu
    from tests.compiler.relaxed import scaled_constants, with_stage

    monkeypatch.setattr(cpu, "CPU", with_stage(5, "spoil", lambda module: scaled_constants(module, 1.01)))


def test_wrong_outputs_leave_nothing_behind(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong_stage(monkeypatch)
    with pytest.raises(
        ParityError, match=r"output 'logits' differs from onnxruntime .* `tolerance`"
    ) as caught:
        compile_model(net, tmp_path / "out")
    assert re.search(r"It comes from \w+ \(node .*`fallback=onnxruntime`", str(caught.value))
    assert caught.value.stage == "verify"
    assert names(tmp_path) == ["net.onnx"]


def test_a_failure_leaves_the_previous_artifact_as_it_was(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = compile_model(net, tmp_path / "out")
    wrong_stage(monkeypatch)
    with pytest.raises(ParityError):
        compile_model(net, tmp_path / "out", options=Options(tolerance=0.0))
    assert read_manifest(tmp_path / "out") == before
    assert digest_file(tmp_path / "out" / LIBRARY_NAME) == before.library_digest
    assert names(tmp_path) == ["net.onnx", "out"]


def test_an_artifact_is_replaced_by_the_next(net: Path, tmp_path: Path) -> None:
    first = compile_model(net, tmp_path / "out")
    second = compile_model(saved(tmp_path / "other.onnx", mlp()), tmp_path / "out")
    assert first.model != second.model
    assert read_manifest(tmp_path / "out") == second


def test_a_failing_stage_is_named_with_the_target(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise ValueError("relax.nn.foo is not supported\nand a long program\n" * 50)

    stages = [replace(stage, run=fail) if stage.name == "fuse" else stage for stage in cpu.CPU]
    monkeypatch.setattr(cpu, "CPU", Recipe(tuple(stages)))
    with pytest.raises(
        CompileError, match=r"net\.onnx: stage 'fuse' failed for target host .*`dump_dir`"
    ) as caught:
        compile_model(net, tmp_path / "out")
    assert caught.value.stage == "fuse"
    assert caught.value.operators == ("relax.nn.foo",)
    assert len(str(caught.value)) < 700
    assert not (tmp_path / "out").exists()


def test_a_stage_that_fails_for_no_single_operator_names_the_ways_out(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modeldyno.compiler.fallback import blame

    def fail(*_: Any) -> Any:
        raise ValueError("two kernels do not go together")

    stages = [replace(stage, run=fail) if stage.name == "fuse" else stage for stage in cpu.CPU]
    monkeypatch.setattr(cpu, "CPU", Recipe(tuple(stages)))
    monkeypatch.setattr(blame, "culprits", lambda *_: {})
    with pytest.raises(
        CompileError, match=r"two kernels .*: `fallback=onnxruntime` .*`dyno serve`"
    ) as caught:
        compile_model(net, tmp_path / "out")
    assert caught.value.stage == "fuse"


def test_each_stage_is_dumped_to_a_numbered_file(net: Path, tmp_path: Path) -> None:
    compile_model(net, tmp_path / "out", options=Options(dump_dir=tmp_path / "dump"))
    stages = STAGES[1 : STAGES.index("generate")]
    expected = [f"{number:02d}_{name}.py" for number, name in enumerate(stages)]
    assert names(tmp_path / "dump") == expected
    assert "conv2d" in (tmp_path / "dump" / "00_import.py").read_text()


def foreign(path: Path) -> None:
    path.mkdir()
    (path / "notes.txt").write_text("mine")


def foreign_manifest(path: Path) -> None:
    foreign(path)
    (path / MANIFEST_NAME).write_text("{}")  # web applications have a file of this name


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_text("mine"), "is a file; the output of a compile is a folder"),
        (foreign, r"holds files of its own \(notes\.txt\)"),
        (foreign_manifest, r"holds files of its own \(notes\.txt\)"),
    ],
    ids=["file", "foreign folder", "foreign folder with a manifest.json"],
)
def test_what_is_no_artifact_is_never_replaced(
    net: Path, tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    make(tmp_path / "out")
    before = [(path, path.is_dir() or path.read_bytes()) for path in sorted(tmp_path.rglob("*"))]
    stages: list[str] = []
    with pytest.raises(OutputError, match=message):
        compile_model(net, tmp_path / "out", on_stage=stages.append)
    assert stages == []
    assert [(path, path.is_dir() or path.read_bytes()) for path in sorted(tmp_path.rglob("*"))] == before


def test_an_empty_folder_becomes_the_artifact(net: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    compile_model(net, tmp_path / "out")
    assert names(tmp_path / "out") == sorted([MANIFEST_NAME, LIBRARY_NAME, WEIGHTS_NAME])


def test_a_place_that_cannot_be_written_is_refused_before_any_work(net: Path, tmp_path: Path) -> None:
    # Tests may run as root, who can write everywhere: but nobody can write below a file.
    stages: list[str] = []
    with pytest.raises(OutputError, match=r"cannot write .*Not a directory"):
        compile_model(net, net / "below" / "out", on_stage=stages.append)
    assert stages == []


def test_looking_at_an_output_leaves_no_trace(tmp_path: Path) -> None:
    check_output(tmp_path / "a" / "b" / "out")
    assert names(tmp_path) == []


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "none", str(disk)], check=False).returncode:  # noqa: S607
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)  # noqa: S607 - the counterpart of the mount above


def test_a_full_disk_is_named_and_nothing_stays(net: Path, full_disk: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*No space left on device"):
        compile_model(net, full_disk / "out")
    assert names(full_disk) == []


def array(*values: float) -> Any:
    return np.array(values, np.float32)


def test_the_difference_is_relative_to_the_largest_expected_value() -> None:
    found = compare("y", array(10, -100), array(10, -99))
    assert (found.max_abs, found.max_rel) == (1.0, 0.01)


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (array(1, 2), array(1, np.nan)),
        (array(1, 2), array(1, np.inf)),
        (array(np.inf, 2), array(-np.inf, 2)),
        (array(np.nan, 2), array(1, 2)),
        (array(1, 2), array(1, 2).reshape(2, 1)),
        (array(1, 2), array(1, 2).astype(np.int64)),
        (array(0, 0), array(0, 1e-9)),
    ],
    ids=["NaN", "infinity", "other infinity", "NaN expected", "shape", "type", "not zero"],
)
def test_what_cannot_be_close_is_infinitely_far(expected: Any, found: Any) -> None:
    assert compare("y", expected, found).max_rel == float("inf")


def test_infinities_that_both_have_are_no_difference() -> None:
    both = compare("y", array(-np.inf, np.nan, 2, 4), array(-np.inf, np.nan, 2, 3))
    assert (both.max_abs, both.max_rel) == (1.0, 0.25)


def test_equal_zeros_are_equal() -> None:
    same = compare("y", array(0, 0), array(0, -0.0))
    assert (same.max_rel, same.cosine) == (0.0, 1.0)


def test_the_smallest_model_compiles(tmp_path: Path) -> None:
    assert compile_model(saved(tmp_path / "add.onnx", add_net()), tmp_path / "out").parity is not None
