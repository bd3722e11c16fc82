"""What ARM code computes, on emulated processors, against ONNX Runtime on this one."""

from __future__ import annotations

import json
import subprocess
import tarfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from modeldyno.base.errors import ArtifactError, CompileError
from modeldyno.compiler.check.emulation.root import Emulator, cpu_model
from modeldyno.compiler.check.emulation.run import run_emulated
from modeldyno.compiler.check.verify import check_parity
from modeldyno.compiler.compile import compile_source
from modeldyno.compiler.frontends.dispatch import read_model
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.source import Source
from modeldyno.compiler.models import compile_model
from modeldyno.compiler.options import DEFAULT_TOLERANCE, WINOGRAD_TOLERANCE, Options
from modeldyno.compiler.request import CompileRequest
from modeldyno.compiler.targets.catalog import TARGETS
from modeldyno.runtime.records.manifest_file import read_manifest
from modeldyno.runtime.sessions.feeds import random_feeds
from modeldyno.runtime.tools.bundle import write_bundle
from tests.compiler.models import conv_net, saved
from tests.emulation.gallery import GALLERY

pytestmark = [pytest.mark.slow, pytest.mark.emulated]
NO_CHECK = Options(verify=False, reuse_tuning=False)
# All kernels for the oldest and for a server; for the others those with the most loops.
WHOLE, PART = tuple(GALLERY), ("odd_convolutions", "attention")
KINDS = {
    *("conv2d", "depthwise_conv2d", "grouped_conv2d", "winograd", "interleave"),
    *("pool", "dense", "attention", "softmax", "exp", "erf", "tanh", "sigmoid", "argmax"),
}
CASES = {
    "cortex-a72": WHOLE,
    "neoverse-n1": WHOLE,
    **dict.fromkeys(("neoverse-v1", "neoverse-v2", "cortex-a76"), PART),
}


@dataclass(frozen=True)
class Answered:
    """A session whose answer is known."""

    outputs: dict[str, Array]

    def run(self, _feeds: dict[str, Array]) -> dict[str, Array]:
        return self.outputs


def _inputs(source: Source, seed: int) -> dict[str, Array]:
    return random_feeds(source.inputs, seed)


@pytest.mark.parametrize("name", CASES)
def test_every_kernel_gives_the_source_models_results(emulator: Emulator, name: str, tmp_path: Path) -> None:
    made: list[tuple[Source, Path]] = []
    kinds: set[str] = set()
    for net in CASES[name]:
        source = read_model(saved(tmp_path / f"{net}.onnx", GALLERY[net]()), {})
        manifest = compile_source(CompileRequest(source, TARGETS[name], NO_CHECK), tmp_path / net)
        made.append((source, tmp_path / net))
        kinds |= {kernel.kind for kernel in manifest.kernels}
    assert kinds >= (KINDS if CASES[name] == WHOLE else {"conv2d", "attention"})
    cpu = cpu_model(TARGETS[name])
    assert cpu is not None
    runs = [(artifact, random_feeds(source.inputs, 0)) for source, artifact in made]
    for (source, artifact), outputs in zip(made, run_emulated(emulator, cpu, runs), strict=True):
        tolerance = WINOGRAD_TOLERANCE if artifact.name == "winograd" else DEFAULT_TOLERANCE
        alone = replace(source, feeds=partial(_inputs, source))
        report = check_parity(alone, Answered(outputs), seed=0, tolerance=tolerance, target=name)
        assert len(report.outputs) == len(source.outputs)


def test_a_compile_for_arm_is_checked_and_says_that_it_was_emulated(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DYNO_EMULATOR", str(emulator.folder))
    manifest = compile_model(saved(tmp_path / "net.onnx", conv_net()), tmp_path / "out", target="rasp5")
    assert manifest.parity is not None
    assert manifest.parity.ran_on == f"emulated: {emulator.name} as cortex-a76"
    assert manifest.parity.tolerance_max_rel == DEFAULT_TOLERANCE
    assert read_manifest(tmp_path / "out") == manifest


def test_code_for_a_newer_core_is_refused_before_it_runs(emulator: Emulator, tmp_path: Path) -> None:
    manifest = compile_model(
        saved(tmp_path / "net.onnx", conv_net()), tmp_path / "out", target="neoverse-v1", options=NO_CHECK
    )
    run = (tmp_path / "out", random_feeds(manifest.inputs, 0))
    with pytest.raises(ArtifactError, match=r"lacks: asimddp, .*bf16"):
        run_emulated(emulator, "cortex-a72", [run])


def test_an_emulator_that_fails_is_an_error_with_its_own_words(emulator: Emulator, tmp_path: Path) -> None:
    manifest = compile_model(
        saved(tmp_path / "net.onnx", conv_net()), tmp_path / "out", target="cortex-a72", options=NO_CHECK
    )
    run = (tmp_path / "out", random_feeds(manifest.inputs, 0))
    with pytest.raises(CompileError, match=r"crashed under emulation .*no-such-processor"):
        run_emulated(emulator, "no-such-processor", [run])


def test_a_bundle_for_arm_made_here_runs_there(emulator: Emulator, tmp_path: Path) -> None:
    net = saved(tmp_path / "net.onnx", conv_net())
    compile_model(net, tmp_path / "artifact", target="rasp4b", options=NO_CHECK)
    archive = write_bundle(tmp_path / "artifact", tmp_path / "app.tar.gz", emulator.site).path
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    (tmp_path / "numpy_alone").mkdir()
    for part in ("numpy", "numpy.libs"):
        (tmp_path / "numpy_alone" / part).symlink_to(emulator.site / part)
    arguments = ("-B", "-S", str(tmp_path / "app" / "run.py"), "--json", "--repeat", "1", "-o", "out")
    done = subprocess.run(
        emulator.command("cortex-a72", arguments),
        env={"PYTHONPATH": str(tmp_path / "numpy_alone")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outputs"] == ["out/logits.npy"]
    source = read_model(net, {})
    expected = source.reference(random_feeds(source.inputs, 0))["logits"]
    np.testing.assert_allclose(np.load(tmp_path / "out" / "logits.npy"), expected, rtol=1e-4, atol=1e-5)
