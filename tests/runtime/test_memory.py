"""Weights that are mapped and shared, buffers that are a session's own, and what an inference costs."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from modeldyno.compiler import compile_model
from modeldyno.runtime.memory import ALIGNMENT_BYTES, map_weights
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.manifest import LIBRARY_NAME
from modeldyno.runtime.records.manifest_file import read_manifest
from modeldyno.runtime.records.weights import WEIGHTS_NAME
from modeldyno.runtime.sessions.feeds import random_feeds
from modeldyno.runtime.sessions.whole import WholeSession
from tests.compiler.models import model, node, saved, tensor, weights

SIDE = 2048
MIB = 1 << 20

# What a process has resident once it has run the model, less what the same has before it loads it.
CHILD = """
import json, re, sys
from pathlib import Path
from modeldyno.runtime import tvm_light
from modeldyno.runtime.sessions.feeds import random_feeds
from modeldyno.runtime.sessions.whole import WholeSession
from modeldyno.runtime.open import open_session

def memory():
    found = dict(re.findall(r"(Vm\\w+|Rss\\w+):\\s+(\\d+)", Path("/proc/self/status").read_text()))
    return {name: int(value) * 1024 for name, value in found.items()}

tvm_light.load()
before = memory()
session = open_session(Path(sys.argv[1]), 1)
session.run(random_feeds(session.inputs, 0))
after = memory()
print(json.dumps({name: after[name] - before[name] for name in ("VmRSS", "VmHWM", "RssAnon")}))
"""


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two products with 16 MiB of weights each."""
    nodes = [node("MatMul", "x v", "h"), node("Relu", "h", "r"), node("MatMul", "r w", "y")]
    values = [weights("v", SIDE, SIDE), weights("w", SIDE, SIDE, seed=1)]
    made = model(nodes, [tensor("x", [1, SIDE])], [tensor("y", [1, SIDE])], values)
    folder = tmp_path_factory.mktemp("heavy")
    compile_model(saved(folder / "heavy.onnx", made), folder / "out")
    return folder / "out"


def test_the_weights_lie_in_their_file_alone_and_where_kernels_may_read_them(heavy: Path) -> None:
    manifest = read_manifest(heavy)
    assert manifest.weights is not None
    size = 2 * 4 * SIDE * SIDE
    assert size <= (heavy / WEIGHTS_NAME).stat().st_size < size + MIB
    assert (heavy / LIBRARY_NAME).stat().st_size < MIB
    assert manifest.bytes == sum((heavy / name).stat().st_size for name in (LIBRARY_NAME, WEIGHTS_NAME))
    assert all(spec.offset % ALIGNMENT_BYTES == 0 for spec in manifest.weights.tensors)


def test_memory_holds_the_weights_once_while_loading_and_after(heavy: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(heavy)], capture_output=True, text=True, check=True, timeout=60
    )
    grown = json.loads(done.stdout)
    size = (heavy / WEIGHTS_NAME).stat().st_size
    assert grown["VmRSS"] < 1.3 * size
    assert grown["VmHWM"] < 1.3 * size
    # The weights are the file's own pages, which other processes share: none of them is a copy.
    assert grown["RssAnon"] < size / 4


def test_a_write_into_mapped_weights_does_not_reach_the_file(heavy: Path) -> None:
    manifest = read_manifest(heavy)
    assert manifest.weights is not None
    first = map_weights(heavy / WEIGHTS_NAME, manifest.weights)[0]
    first[...] = 0
    again = map_weights(heavy / WEIGHTS_NAME, manifest.weights)[0]  # checks the digest, too
    assert again.any()


def test_sessions_of_one_artifact_share_no_buffer(heavy: Path) -> None:
    """Runs of two sessions interleave in two threads: each gives what it gives alone."""
    sessions = [open_session(heavy, 1) for _ in range(2)]
    feeds = [random_feeds(session.inputs, seed) for seed, session in enumerate(sessions)]
    expected = [session.run(feed)["y"] for session, feed in zip(sessions, feeds, strict=True)]
    assert not np.array_equal(expected[0], expected[1])
    wrong: list[int] = []
    start = threading.Barrier(2)

    def work(number: int) -> None:
        start.wait()
        answers = (sessions[number].run(feeds[number])["y"] for _ in range(30))
        wrong.extend(number for answer in answers if not np.array_equal(answer, expected[number]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_was_given_to_an_earlier_run_is_not_seen_by_the_next(two_inputs: Path) -> None:
    session = open_session(two_inputs, 1)
    first, second = (random_feeds(session.inputs, seed) for seed in (1, 2))
    expected = open_session(two_inputs, 1).run(second)
    session.run(first)
    found = session.run(second)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_an_inference_makes_no_tensors(heavy: Path) -> None:
    session = open_session(heavy, 1)
    called: list[str] = []
    assert isinstance(session, WholeSession)
    session.instrument(lambda _function, name, *_: called.append(name))
    session.run(random_feeds(session.inputs, 0))
    assert called
    assert not [name for name in called if "alloc" in name]


def test_a_session_outlives_the_files_that_it_was_loaded_from(heavy: Path, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(heavy, tmp_path / "copy")
    session = open_session(copy, 1)
    shutil.rmtree(copy)
    feeds = random_feeds(session.inputs, 0)
    np.testing.assert_array_equal(session.run(feeds)["y"], open_session(heavy, 1).run(feeds)["y"])
