"""`dyno profile`: the times of an artifact's kernels, and what they are worth."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from modeldyno.base.errors import ArtifactError, ConfigError
from modeldyno.compiler import compile_model
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.manifest import MANIFEST_NAME
from modeldyno.runtime.records.manifest_file import read_manifest, sealed
from modeldyno.runtime.sessions.feeds import random_feeds
from modeldyno.runtime.sessions.whole import WholeSession
from modeldyno.runtime.tools.profile_cli import COLUMNS, profile_command
from modeldyno.runtime.tools.profile_records import Profile
from modeldyno.runtime.tools.profiler import Observer, physical_cores, profile
from tests.compiler.models import model, node, saved, tensor, weights


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two equal convolutions of 64 channels over 28 x 28 pixels, then a mean and a product: 1 ms of work."""
    nodes = [
        node("Conv", "image w0", "a", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        node("Relu", "a", "ra"),
        node("Conv", "ra w1", "b", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        node("Relu", "b", "rb"),
        node("GlobalAveragePool", "rb", "g"),
        node("Flatten", "g", "f"),
        node("Gemm", "f w2 b2", "logits", transB=1),
    ]
    values = [weights("w0", 64, 64, 3, 3), weights("w1", 64, 64, 3, 3, seed=1)]
    values += [weights("w2", 5, 64), weights("b2", 5)]
    made = model(nodes, [tensor("image", [1, 64, 28, 28])], [tensor("logits", [1, 5])], values)
    folder = tmp_path_factory.mktemp("net")
    compile_model(saved(folder / "net.onnx", made), folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def measured(net: Path) -> Profile:
    return profile(net, threads=1, repeats=30)


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(profile_command, [str(arg) for arg in args])


def test_a_kernel_used_twice_is_one_row_of_two_calls(measured: Profile) -> None:
    (conv,) = [kernel for kernel in measured.kernels if kernel.kind == "winograd"]
    assert conv.calls == 2
    assert conv.gflop is not None
    assert conv.gflop == pytest.approx(2 * (2 * 28 * 28 * 64 * 64 * 9) / 1e9)
    assert conv.gflop_per_s == pytest.approx(conv.gflop / conv.p50_ms * 1e3)
    assert measured.kernels[0] == conv
    assert conv.share_of_total > 0.5


@pytest.mark.timed
def test_the_kernels_and_what_is_outside_are_the_total(measured: Profile) -> None:
    assert sum(kernel.p50_ms for kernel in measured.kernels) == pytest.approx(
        measured.kernels_p50_ms, rel=0.2
    )
    # Observed and plain inferences run in turn; another process may still slow either.
    assert measured.kernels_p50_ms <= measured.total_p50_ms * 1.2
    assert measured.outside_kernels_ms == pytest.approx(measured.total_p50_ms - measured.kernels_p50_ms)
    assert "vm.builtin.check_tensor_info" in {builtin.name for builtin in measured.builtins}


def test_no_kernel_beats_the_peak_that_the_same_run_measured(measured: Profile) -> None:
    assert measured.core_peak_gflop_per_s is not None
    # Below this, the peak function would not be vectors in registers on any machine of today.
    assert measured.core_peak_gflop_per_s > 10
    shares = [
        kernel.share_of_peak
        for kernel in measured.kernels
        if kernel.share_of_peak is not None and kernel.kind != "winograd"
    ]
    assert 0.0 < max(shares) < 1.1
    assert measured.peak_cores == 1


def test_the_peak_counts_no_more_cores_than_there_are(net: Path, tmp_path: Path) -> None:
    found = profile(net, threads=1000, repeats=5)
    assert found.threads == 1000
    assert 1 <= found.peak_cores <= len(os.sched_getaffinity(0))
    for core, siblings in enumerate(("0,2", "1,3", "0,2", "1,3")):
        topology = tmp_path / f"cpu{core}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(siblings)
    assert physical_cores((0, 1, 2, 3), tmp_path) == 2
    assert physical_cores((1, 3), tmp_path) == 1
    assert physical_cores((0, 1, 8), tmp_path) == 3


def test_the_json_has_every_kernel_and_its_units(net: Path) -> None:
    done = run(net, "--threads", "1", "--repeat", "5", "--top", "1", "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.output)
    assert Profile.model_validate_json(done.output).repeats == 5
    assert {"total_p50_ms", "core_peak_gflop_per_s", "observed_total_p50_ms", "threads"} <= facts.keys()
    assert len(facts["kernels"]) > 2
    assert facts["kernels"][0].keys() >= {
        *("name", "kind", "calls", "p25_ms", "p50_ms", "p75_ms", "gflop", "gflop_per_s"),
        *("share_of_total", "share_of_peak", "gb_per_s", "inputs", "outputs"),
    }


def test_the_table_ends_with_the_others_what_is_outside_and_the_total(net: Path) -> None:
    done = run(net, "--threads", "1", "--seconds", "0.3", "--top", "1")
    assert done.exit_code == 0, done.output
    head, _, first, *rest = done.output.split("\n\n")[0].splitlines()
    assert head.split("  ")[0] == COLUMNS[0]
    assert "conv2d" in first
    assert [line.split("  ")[0].lstrip("0123456789 ") for line in rest] == [
        "other kernels",
        "outside kernels",
        "total",
    ]
    assert "GFLOP/s float32 a core, measured in this run (best call; median " in done.output


def test_an_artifact_without_facts_has_times_alone(net: Path, tmp_path: Path) -> None:
    old = changed(net, tmp_path, lambda manifest: [manifest.pop(key) for key in ("kernels", "peak")])
    assert (read_manifest(old).kernels, read_manifest(old).peak) == ((), None)
    done = run(old, "--threads", "1", "--repeat", "5")
    assert done.exit_code == 0, done.output
    assert "peak: unknown" in done.output
    found = profile(old, threads=1, repeats=5)
    assert {(kernel.gflop, kernel.share_of_peak, kernel.gb_per_s) for kernel in found.kernels} == {
        (None, None, None)
    }
    assert all(kernel.p50_ms >= 0 for kernel in found.kernels)


def test_what_can_not_be_profiled_is_said(net: Path, tmp_path: Path) -> None:
    def needs_more(manifest: dict[str, Any]) -> None:
        manifest["target"]["features"] = ["quantum"]

    with pytest.raises(ArtifactError, match="is no artifact"):
        profile(tmp_path / "nothing")
    with pytest.raises(ArtifactError, match="needs CPU features that this machine lacks: quantum"):
        profile(changed(net, tmp_path, needs_more))
    with pytest.raises(ConfigError, match="4 inferences give no quartiles: at least 5 are needed"):
        profile(net, repeats=4)
    with pytest.raises(ConfigError, match=r"fitted into 1e-09 seconds.*give more `seconds`"):
        profile(net, seconds=1e-9)
    assert run(net, "--repeat", "4").exit_code == 2
    both = run(net, "--repeat", "5", "--seconds", "1")
    assert both.exit_code == 2
    assert "give --repeat or --seconds, not both" in both.output


def test_a_call_inside_another_is_counted_once() -> None:
    observer = Observer(lambda _tensors: 0.0)
    observer(None, "outer", True, None)
    observer(None, "inner", True, None)
    time.sleep(0.02)
    observer(None, "inner", False, None)
    observer(None, "outer", False, None)
    taken = observer.take()
    assert {name: calls for name, (calls, _) in taken.items()} == {"outer": 1, "inner": 1}
    assert taken["inner"][1] >= 20e6
    assert taken["outer"][1] < 10e6
    assert observer.take() == {}


def test_what_observing_costs_is_taken_off() -> None:
    observer = Observer(lambda tensors: 1e12 if tensors else 0.0)
    for before in (True, False):
        observer(None, "costly", before, None, "a tensor")
        observer(None, "free", before, None)
    # The calls lie inside each other; only the one with a tensor has a cost.
    assert observer.take()["costly"][1] == 0.0


def test_after_a_profile_nothing_is_observed_any_more(net: Path) -> None:
    session = open_session(net, 1)
    seen: list[str] = []
    feeds = random_feeds(session.inputs, 0)
    assert isinstance(session, WholeSession)
    session.instrument(lambda _function, name, *_: seen.append(name))
    session.run(feeds)
    assert seen
    seen.clear()
    session.instrument(None)
    session.run(feeds)
    assert not seen


INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from modeldyno.runtime.tools import profiler

class Interrupting(profiler.Observer):
    def __call__(self, *args):
        super().__call__(*args)
        os.kill(os.getpid(), signal.SIGINT)

profiler.Observer = Interrupting
try:
    profiler.profile(Path(sys.argv[1]), threads=1)
except KeyboardInterrupt:
    print("interrupted", "tvm" in sys.modules, "torch" in sys.modules)
"""


def test_ctrl_c_inside_the_observer_is_an_interrupt_and_no_compiler_is_loaded(net: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(net)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert done.stdout.split() == ["interrupted", "False", "False"], done.stderr


def changed(artifact: Path, folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Copy an artifact, with another manifest."""
    copy = folder / "changed"
    shutil.copytree(artifact, copy)
    manifest = json.loads((copy / MANIFEST_NAME).read_text())
    change(manifest)
    manifest["manifest_digest"] = ""
    (copy / MANIFEST_NAME).write_text(sealed(json.dumps(manifest)))
    return copy
