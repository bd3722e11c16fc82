"""Artifacts of segments: run as any other, checked as a whole, and honest about what they need."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from modeldyno.base.errors import ArtifactError, ConfigError, ModelError, RequestError
from modeldyno.base.host.facts import host_facts
from modeldyno.compiler import compile_model
from modeldyno.compiler.options import Options
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.manifest_file import read_manifest
from modeldyno.runtime.sessions.feeds import random_feeds
from modeldyno.runtime.sessions.segments import SegmentSession
from modeldyno.runtime.tools.bundle import write_bundle
from modeldyno.runtime.tools.inspection import inspect_artifact, lines
from modeldyno.runtime.tools.profiler import profile
from tests.compiler.models import det_net, saved, text_net
from tests.serving.models import loaded

FALLBACK = Options(fallback="onnxruntime")


@pytest.fixture(scope="module")
def segmented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """compiled, onnxruntime, compiled: image to logits."""
    folder = tmp_path_factory.mktemp("segmented")
    compile_model(saved(folder / "det.onnx", det_net()), folder / "out", options=FALLBACK)
    return folder / "out"


@pytest.fixture
def copy(segmented: Path, tmp_path: Path) -> Path:
    return shutil.copytree(segmented, tmp_path / "copy")


def expected(segmented: Path, feeds: dict[str, Any]) -> Any:
    session = onnxruntime.InferenceSession(
        segmented.with_name("det.onnx"), providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)[0]


def without_onnxruntime(script: str, *args: str | Path) -> subprocess.CompletedProcess[str]:
    hidden = "import sys; sys.modules['onnxruntime'] = None\n"
    command = [sys.executable, "-c", hidden + script, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_many_threads_share_a_session_and_get_their_own_answers(segmented: Path) -> None:
    session = open_session(segmented, 1)
    feeds = [random_feeds(session.inputs, seed) for seed in range(4)]
    wrong: list[int] = []

    def work(number: int) -> None:
        wanted = expected(segmented, feeds[number])
        found = [session.run(feeds[number])["logits"] for _ in range(20)]
        wrong.extend(number for each in found if not np.allclose(each, wanted, rtol=1e-4, atol=1e-4))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_results_stay_as_they_are_when_the_next_inference_runs(segmented: Path) -> None:
    session = open_session(segmented, 1)
    one, two = (random_feeds(session.inputs, seed) for seed in (0, 1))
    first = session.run(one)["logits"]
    before = first.copy()
    assert not np.array_equal(session.run(two)["logits"], first)
    np.testing.assert_array_equal(first, before)


def test_what_onnx_runtime_gives_to_compiled_code_is_written_where_that_reads_it(segmented: Path) -> None:
    session = open_session(segmented, 1)
    assert isinstance(session, SegmentSession)
    with session.lane() as lane:
        lane.inputs["image"][...] = random_feeds(session.inputs, 0)["image"]
        lane.run()
        given = lane._values["d"]
        assert given.ctypes.data % 64 == 0
        lane.run()
        assert lane._values["d"] is given  # the buffer that the last segment is bound to, not a result of ORT


def test_wrong_inputs_are_refused_as_by_any_session(segmented: Path) -> None:
    session = open_session(segmented, 1)
    image = random_feeds(session.inputs, 0)["image"]
    with pytest.raises(RequestError, match="input 'image' is missing"):
        session.run({})
    with pytest.raises(RequestError, match=r"has shape \[3\], expected \[1, 3, 12, 12\]"):
        session.run({"image": np.zeros(3, np.float32)})
    with pytest.raises(RequestError, match="unknown input 'more'"):
        session.run({"image": image, "more": image})


def test_an_artifact_without_such_segments_does_not_import_onnxruntime(artifact: Path) -> None:
    script = (
        "from pathlib import Path\nfrom modeldyno.runtime.open import open_session\n"
        "import numpy as np\nopen_session(Path(sys.argv[1]), 1).run({'x': np.zeros((2, 8), np.float32)})\n"
    )
    done = without_onnxruntime(script, artifact)
    assert done.returncode == 0, done.stderr


def test_where_onnxruntime_is_not_installed_the_error_says_what_needs_it(segmented: Path) -> None:
    done = without_onnxruntime(
        "from modeldyno.base.command.cli import main\nsys.exit(main())", "run", segmented
    )
    assert done.returncode == 2
    assert "runs a part of its model (Det) in ONNX Runtime" in done.stderr
    assert "pip install onnxruntime" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["segments/01.onnx", "segments/00/manifest.json", "segments/02/model.so"])
def test_a_damaged_segment_is_not_loaded_and_inspect_tells_it(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(ArtifactError, match="is damaged"):
        open_session(copy, 1)
    assert inspect_artifact(copy, host_facts()).damage is not None
    with pytest.raises(ArtifactError, match="is damaged"):
        write_bundle(copy, copy.with_name("app.tar.gz"))


def test_a_segment_of_another_artifact_is_not_loaded(copy: Path, artifact: Path) -> None:
    shutil.rmtree(copy / "segments/00")
    shutil.copytree(artifact, copy / "segments/00")
    with pytest.raises(ArtifactError, match=r"segments/00 is damaged: its digest"):
        open_session(copy, 1)


def test_inspect_shows_segments_and_what_is_not_compiled_and_why(segmented: Path) -> None:
    told = "\n".join(lines(inspect_artifact(segmented, host_facts())))
    assert "85.7% of the operators, 99.9% of the FLOPs, in 3 segments; not compiled: Det" in told
    assert "segments/01.onnx: 1 operators, onnxruntime; reads r; gives d" in told
    assert "Det (node 'area', domain ai.onnx, opset 17): unknown to the front end" in told


def test_a_bundle_holds_the_segments_and_says_that_onnxruntime_is_needed(
    segmented: Path, tmp_path: Path
) -> None:
    made = write_bundle(segmented, tmp_path / "app.tar.gz")
    assert made.needs == (f"onnxruntime (made with {onnxruntime.__version__})",)
    with tarfile.open(made.path) as opened:
        opened.extractall(tmp_path, filter="data")
    assert "with numpy and onnxruntime (made with" in (tmp_path / "app/README.md").read_text()
    command = [sys.executable, "-I", str(tmp_path / "app/run.py"), "--output", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    feeds = random_feeds(read_manifest(segmented).inputs, 0)
    found = np.load(tmp_path / "out/logits.npy")
    np.testing.assert_allclose(found, expected(segmented, feeds), rtol=1e-4, atol=1e-4)


def test_profiling_names_the_segments_that_can_be_profiled(segmented: Path) -> None:
    with pytest.raises(ArtifactError, match=r"each by itself: segments/00, segments/02"):
        profile(segmented)
    assert profile(segmented / "segments/00", threads=1, repeats=5).kernels


def test_a_segmented_artifact_is_served_and_one_that_reads_text_is_refused(
    segmented: Path, tmp_path: Path
) -> None:
    backend = loaded(segmented, 1)
    feeds = random_feeds(backend.signature.inputs, 0)
    np.testing.assert_allclose(backend.run(feeds)["logits"], expected(segmented, feeds), rtol=1e-4, atol=1e-4)
    compile_model(saved(tmp_path / "text.onnx", text_net()), tmp_path / "text", options=FALLBACK)
    with pytest.raises(ModelError, match="'words' is text: only tensors of numbers can be served"):
        loaded(tmp_path / "text", 1)


def test_cores_that_this_process_may_not_use_are_refused(segmented: Path) -> None:
    with pytest.raises(ConfigError, match="core 4096 can't be used"):
        open_session(segmented, cores=[4096])
