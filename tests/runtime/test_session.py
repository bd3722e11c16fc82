"""Running an artifact: inputs as they come, outputs that stay, threads, and nothing heavy loaded."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from modeldyno.base.errors import ConfigError, RequestError
from modeldyno.base.host.facts import usable_cores
from modeldyno.runtime import tvm_light
from modeldyno.runtime.memory import aligned
from modeldyno.runtime.open import Session, open_session
from modeldyno.runtime.sessions.base import AnySession
from modeldyno.runtime.sessions.feeds import random_feeds
from modeldyno.runtime.sessions.whole import WholeSession

Array = npt.NDArray[Any]


def inputs(session: AnySession, seed: int = 0) -> dict[str, Array]:
    return random_feeds(session.inputs, seed)


def test_what_users_import_opens_any_artifact(two_inputs: Path) -> None:
    session, opened = Session.load(two_inputs, 1), open_session(two_inputs, 1)
    assert (session.inputs, session.outputs, session.threads) == (opened.inputs, opened.outputs, 1)
    feeds = random_feeds(session.inputs, 0)
    np.testing.assert_array_equal(session.run(feeds)["sum"], opened.run(feeds)["sum"])
    assert session.warm_up() == 1


def test_the_session_knows_its_inputs_and_outputs(two_inputs: Path) -> None:
    session = open_session(two_inputs, 1)
    assert [(spec.name, spec.shape) for spec in session.inputs] == [("a", (64, 256)), ("b", (64, 256))]
    assert [spec.name for spec in session.outputs] == ["sum", "same"]


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({}, "input 'x' is missing; the inputs are: x"),
        ({"x": np.zeros((2, 8), np.float32), "z": np.zeros(1)}, "unknown input 'z'; the inputs are: x"),
        ({"x": np.zeros((2, 9), np.float32)}, r"input 'x' has shape \[2, 9\], expected \[2, 8\]"),
        ({"x": np.zeros(16, np.float32)}, r"input 'x' has shape \[16\], expected \[2, 8\]"),
        ({"x": np.zeros((2, 8))}, "input 'x' has dtype float64, expected float32"),
    ],
    ids=["missing", "unknown", "shape", "rank", "dtype"],
)
def test_inputs_that_do_not_fit_are_refused_and_the_session_goes_on(
    artifact: Path, feeds: dict[str, Array], message: str
) -> None:
    session = open_session(artifact, 1)
    with pytest.raises(RequestError, match=message) as caught:
        session.run(feeds)
    assert caught.value.status == 400
    assert session.run(inputs(session))["y"].shape == (2, 3)


def unaligned(array: Array) -> Array:
    space = np.empty(array.nbytes + 65, np.uint8)
    start = -space.ctypes.data % 64 + 1
    moved = space[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    moved[:] = array
    return moved


def read_only(array: Array) -> Array:
    frozen = array.copy()
    frozen.flags.writeable = False
    return frozen


def wide_strides(array: Array) -> Array:
    spaced = np.zeros((array.shape[0], array.shape[1] * 2), array.dtype)
    spaced[:, ::2] = array
    return spaced[:, ::2]


@pytest.mark.parametrize(
    "make",
    [
        unaligned,
        read_only,
        wide_strides,
        np.asfortranarray,
        lambda a: a[::-1].copy()[::-1],
        lambda a: a.astype(">f4"),
    ],
    ids=["unaligned", "read-only", "with gaps", "columns first", "backwards", "big-endian"],
)
def test_arrays_of_any_kind_give_the_same_result(artifact: Path, make: Callable[[Array], Array]) -> None:
    session = open_session(artifact, 1)
    x = inputs(session)["x"]
    odd = make(x)
    np.testing.assert_array_equal(odd, x)
    np.testing.assert_array_equal(session.run({"x": odd})["y"], session.run({"x": x})["y"])


def test_an_array_that_fits_is_not_copied() -> None:
    first = aligned(unaligned(np.ones((3, 5), np.float32)))
    assert first.ctypes.data % 64 == 0
    assert aligned(first) is first


def test_outputs_are_not_overwritten_by_the_next_run(artifact: Path) -> None:
    session = open_session(artifact, 1)
    first = session.run(inputs(session, 0))["y"]
    kept = first.copy()
    second = session.run(inputs(session, 1))["y"]
    np.testing.assert_array_equal(first, kept)
    assert not np.array_equal(first, second)


def test_an_output_that_is_an_input_is_the_callers_own(two_inputs: Path) -> None:
    session = open_session(two_inputs, 1)
    feeds = {name: aligned(array) for name, array in inputs(session).items()}
    kept = feeds["a"].copy()
    same = session.run(feeds)["same"]
    feeds["a"][:] = 0
    np.testing.assert_array_equal(same, kept)


def test_a_constant_that_is_an_output_is_the_callers_own(tmp_path: Path) -> None:
    from modeldyno.compiler import compile_model
    from tests.compiler.models import constant, model, node, saved, tensor

    nodes = [node("Relu", "x", "r"), node("Identity", "k", "fixed")]
    made = model(
        nodes,
        [tensor("x", [2])],
        [tensor("r", [2]), tensor("fixed", [2])],
        [constant("k", [7, 8], "float32")],
    )
    compile_model(saved(tmp_path / "model.onnx", made), tmp_path / "out")
    session = open_session(tmp_path / "out", 1)
    x = {"x": np.zeros(2, np.float32)}
    session.run(x)["fixed"][:] = 0
    np.testing.assert_array_equal(session.run(x)["fixed"], [7, 8])


def test_one_and_two_threads_give_the_same_result(two_inputs: Path) -> None:
    one, two = open_session(two_inputs, 1), open_session(two_inputs, 2)
    feeds = inputs(one)
    np.testing.assert_array_equal(one.run(feeds)["sum"], two.run(feeds)["sum"])


def test_sessions_of_different_sizes_take_turns_on_one_thread(
    two_inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = open_session(two_inputs, 1), open_session(two_inputs, 2)
    sizes: list[int] = []
    ffi = tvm_light.load()

    class Spy:
        def __getattr__(self, name: str) -> Any:
            return getattr(ffi, name)

        def get_global_func(self, name: str) -> Any:
            def noted(*args: Any) -> Any:
                sizes.append(args[1])
                return ffi.get_global_func(name)(*args)

            return noted

    monkeypatch.setattr(tvm_light, "load", Spy)
    feeds = inputs(one)
    two.run(feeds)
    sizes.clear()
    for session in (one, one, two, two, one):
        session.run(feeds)
    assert sizes == [1, 2, 1]


def test_two_threads_with_a_session_each_do_not_disturb_each_other(two_inputs: Path) -> None:
    reference = open_session(two_inputs, 1)
    expected = {seed: reference.run(inputs(reference, seed))["sum"] for seed in (1, 2)}
    wrong: list[int] = []

    def work(seed: int) -> None:
        session = open_session(two_inputs, 1)
        feeds = inputs(session, seed)
        answers = (session.run(feeds)["sum"] for _ in range(50))
        wrong.extend(seed for answer in answers if not np.array_equal(answer, expected[seed]))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_one_session_serves_many_threads_at_once(two_inputs: Path) -> None:
    session = open_session(two_inputs, 1)
    expected = {seed: session.run(inputs(session, seed))["sum"] for seed in range(6)}
    wrong: list[int] = []
    start = threading.Barrier(len(expected))

    def work(seed: int) -> None:
        feeds = inputs(session, seed)
        start.wait()
        answers = (session.run(feeds)["sum"] for _ in range(50))
        wrong.extend(seed for answer in answers if not np.array_equal(answer, expected[seed]))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_lanes_lent_at_one_time_are_different_and_come_back(two_inputs: Path) -> None:
    session = open_session(two_inputs, 1)
    assert isinstance(session, WholeSession)
    with session.lane() as one, session.lane() as two:
        assert one is not two
    with session.lane() as again, session.lane() as more:
        assert {again, more} == {one, two}


def test_a_lane_reads_and_writes_in_place(two_inputs: Path) -> None:
    session = open_session(two_inputs, 1)
    feeds = inputs(session, 3)
    assert isinstance(session, WholeSession)
    with session.lane() as lane:
        for name, array in feeds.items():
            lane.inputs[name][...] = array
        first = lane.run()["sum"]
        kept = first.copy()
        lane.inputs["a"][...] += 1
        second = lane.run()["sum"]
        assert np.shares_memory(first, second)
    np.testing.assert_array_equal(kept, session.run(feeds)["sum"])


def test_a_refused_request_gives_its_lane_back(artifact: Path) -> None:
    session = open_session(artifact, 1)
    with pytest.raises(RequestError):
        session.run({})
    assert isinstance(session, WholeSession)
    assert len(session._lanes._idle) == len(session._lanes._made) == 1


PINNED = """
import os, sys
from pathlib import Path
from modeldyno.runtime.sessions.feeds import random_feeds
from modeldyno.runtime.sessions.whole import WholeSession
from modeldyno.runtime.open import open_session
from modeldyno.runtime.sessions.base import AnySession

cores = sorted(os.sched_getaffinity(0))
session = open_session(Path(sys.argv[1]), cores=cores[-1:])
session.run(random_feeds(session.inputs, 0))
print(session.threads, os.sched_getaffinity(0) == {cores[-1]})
"""


def test_pinned_threads_run_on_the_given_cores(two_inputs: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PINNED, str(two_inputs)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "True"]


@pytest.mark.parametrize(
    ("cores", "threads", "message"),
    [
        ([9999], None, "core 9999 can't be used; this process may run on "),
        ([], None, "no core is given"),
        ([min(usable_cores())], 2, r"2 threads can't be pinned to 1 core\(s\)"),
    ],
)
def test_cores_that_do_not_fit_are_refused(
    artifact: Path, cores: list[int], threads: int | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        open_session(artifact, threads, cores)


def test_running_loads_neither_the_compiler_nor_torch(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "torch.py").touch()  # so that there is one to be found, and kept out, on any machine
    code = (
        "import sys\nfrom pathlib import Path\nfrom modeldyno.runtime.open import open_session\n"
        "from modeldyno.runtime.sessions.feeds import random_feeds\n"
        "session = open_session(Path(sys.argv[1]), 1)\n"
        "session.run(random_feeds(session.inputs, 0))\n"
        "heavy = ('tvm', 'torch', 'onnx', 'onnxruntime', 'compiler')\n"
        "print([name for name in heavy if name in sys.modules])\n"
        "maps = Path('/proc/self/maps').read_text()\n"
        "print('libtvm_compiler' in maps, 'libtorch' in maps, 'libtvm_runtime' in maps)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(artifact)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.stdout.splitlines() == ["[]", "False False True"]


def test_what_a_model_does_not_need_of_tvm_ffi_is_loaded_when_it_is_asked_for(artifact: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from modeldyno.runtime.open import open_session\n"
        f"open_session(Path({str(artifact)!r}), 1)\n"
        "parts = ['tvm_ffi.cpp', 'tvm_ffi.libinfo', 'tvm_ffi._optional_torch_c_dlpack']\n"
        "import tvm_ffi\n"
        "print([part for part in parts if part in sys.modules], hasattr(tvm_ffi, 'nothing'))\n"
        "print(Path(tvm_ffi.libinfo.find_libtvm_ffi()).name, tvm_ffi.cpp.load_inline.__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[] False", "libtvm_ffi.so load_inline"]
