"""`dyno run` as a user meets it."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.record import TensorSpec
from modeldyno.runtime.inference import load_inputs, save_outputs


def dyno(*args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modeldyno", "run", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def saved(path: Path, array: np.ndarray[Any, Any]) -> Path:
    np.save(path, array)
    return path


def test_named_inputs_give_saved_outputs_and_three_times(two_inputs: Path, tmp_path: Path) -> None:
    a, b = (np.random.default_rng(seed).standard_normal((64, 256)).astype(np.float32) for seed in (1, 2))
    named = [f"a={saved(tmp_path / 'a.npy', a)}", f"b={saved(tmp_path / 'b.npy', b)}"]
    done = dyno(
        two_inputs, "--input", named[0], "--input", named[1], "-o", tmp_path / "out", "--threads", "1"
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "same.npy"), a)
    assert np.load(tmp_path / "out" / "sum.npy").shape == (64, 256)
    words = [line.split()[0] for line in done.stdout.splitlines()]
    assert words == ["load", "first", "steady", "output", "output", "wrote", "wrote"]


def test_without_input_the_seed_decides(artifact: Path, tmp_path: Path) -> None:
    outputs = []
    for number, seed in enumerate(("3", "3", "4")):
        done = dyno(artifact, "--seed", seed, "--repeat", "2", "--json", "-o", tmp_path / str(number))
        facts = json.loads(done.stdout)
        assert facts["steady_samples"] == 2
        outputs.append(np.load(facts["outputs"][0]))
    assert np.array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[0], outputs[2])


def test_the_name_may_be_left_out_of_a_single_input(artifact: Path, tmp_path: Path) -> None:
    x = saved(tmp_path / "x.npy", np.zeros((2, 8), np.float32))
    assert dyno(artifact, "--input", x).returncode == 0


def test_bad_input_exits_2_with_one_message(artifact: Path, tmp_path: Path) -> None:
    wrong = saved(tmp_path / "x.npy", np.zeros((2, 9), np.float32))
    for args, message in [
        ((artifact, "--input", tmp_path / "none.npy"), "input file not found"),
        ((artifact, "--input", wrong), "has shape [2, 9], expected [2, 8]"),
        ((tmp_path / "nothing",), "is no artifact"),
    ]:
        done = dyno(*args)
        assert done.returncode == 2
        assert message in done.stderr
        assert done.stderr.count("error: ") == 1
        assert "Traceback" not in done.stderr


ONE = (TensorSpec(name="x", dtype="float32", shape=(2,)),)
TWO = (*ONE, TensorSpec(name="y", dtype="float32", shape=(2,)))


@pytest.mark.parametrize(
    "content", ["pickled array", "pickle", "archive", "cut archive", "text", "empty", "cut", "folder"]
)
def test_what_is_no_array_of_numbers_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.npy"
    if content == "pickled array":
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    elif content == "folder":
        path.mkdir()
    elif "archive" in content:
        np.savez(tmp_path / "x.npz", x=np.zeros(2))
        data = (tmp_path / "x.npz").read_bytes()
        path.write_bytes(data[: len(data) // 2] if content == "cut archive" else data)
    else:
        np.save(path, np.zeros(2, np.float32))
        whole = path.read_bytes()
        path.write_bytes(
            {"pickle": pickle.dumps([1]), "text": b"1 2\n", "empty": b"", "cut": whole[:-1]}[content]
        )
    with pytest.raises(ConfigError, match=r"is no \.npy file of numbers"):
        load_inputs(ONE, [str(path)], seed=0)


def test_a_name_is_needed_where_there_are_several_inputs(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.npy", np.zeros(2, np.float32))
    with pytest.raises(ConfigError, match=r"the model has 2 inputs \(x, y\); write NAME=FILE"):
        load_inputs(TWO, [str(path)], seed=0)


def test_output_names_that_no_file_should_have_are_changed(tmp_path: Path) -> None:
    paths = save_outputs({"../out:0": np.zeros(2)}, tmp_path / "out")
    assert paths == [tmp_path / "out" / ".._out_0.npy"]
    assert paths[0].is_file()
