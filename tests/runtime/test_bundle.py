"""Bundles: small, whole, the same every time, and run by a Python that has numpy and nothing else."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from modeldyno.base.errors import ArtifactError, ConfigError
from modeldyno.compiler import compile_model
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.manifest import LIBRARY_NAME, MANIFEST_NAME
from modeldyno.runtime.sessions.feeds import random_feeds
from modeldyno.runtime.tools.bundle import write_bundle
from tests.compiler.models import constant, model, node, saved, tensor
from tests.runtime.test_artifact import OTHER, edited

MB = 1_000_000


@pytest.fixture(scope="module")
def archive(two_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(two_inputs, tmp_path_factory.mktemp("bundle") / "app.tar.gz").path


@pytest.fixture
def unpacked(archive: Path, tmp_path: Path) -> Path:
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    return tmp_path / "app"


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python whose only package is numpy."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    installed = Path(np.__file__).parent
    for part in (installed, installed.with_name("numpy.libs")):
        if part.exists():
            (packages / part.name).symlink_to(part)
    return folder / "bin" / "python"


def run(command: list[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LD_"))}
    return subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, cwd=folder, env=env, timeout=120
    )


def test_a_python_with_numpy_alone_gives_the_same_outputs(
    bare_python: Path, unpacked: Path, two_inputs: Path, tmp_path: Path
) -> None:
    probe = "import importlib.util as u; print([n for n in {} if u.find_spec(n)])"
    names = ["numpy", "tvm", "tvm_ffi", "torch", "pydantic", "click", "modeldyno"]
    assert run([bare_python, "-c", probe.format(names)], tmp_path).stdout.strip() == "['numpy']"
    done = run([bare_python, unpacked / "run.py", "--json", "--repeat", "2", "-o", "out"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steady_samples"] == 2
    session = open_session(two_inputs, 1)
    for name, array in session.run(random_feeds(session.inputs, 0)).items():
        np.testing.assert_array_equal(np.load(tmp_path / "out" / f"{name}.npy"), array)


def test_the_readmes_python_runs_as_it_stands(bare_python: Path, unpacked: Path) -> None:
    text = (unpacked / "README.md").read_text().partition("From Python:\n\n")[2].partition("\n\nInputs")[0]
    code = "\n".join(line.removeprefix("    ") for line in text.splitlines())
    done = run(
        [bare_python, "-c", f"{code}\nprint({{k: v.shape for k, v in outputs.items()}})"], unpacked.parent
    )
    assert done.stdout.strip() == "{'sum': (64, 256), 'same': (64, 256)}", done.stderr


def test_the_runtime_takes_at_most_12_mb_beside_the_artifact(archive: Path, unpacked: Path) -> None:
    files = [path for path in unpacked.rglob("*") if path.is_file()]
    beside = [path for path in files if path.relative_to(unpacked).parts[0] != "artifact"]
    assert 5 * MB < sum(path.stat().st_size for path in beside) < 12 * MB
    assert archive.stat().st_size < 5 * MB


def test_the_same_artifact_gives_the_same_archive(archive: Path, two_inputs: Path, tmp_path: Path) -> None:
    assert write_bundle(two_inputs, tmp_path / "app.tar.gz").path.read_bytes() == archive.read_bytes()


def test_the_archive_holds_plain_files_in_one_folder_and_licenses(archive: Path) -> None:
    with tarfile.open(archive) as opened:
        members = opened.getmembers()
    assert all(member.isfile() and member.name.startswith("app/") for member in members)
    assert not [member.name for member in members if ".." in member.name.split("/")]
    assert {"app/lib/licenses/apache-tvm-ffi/LICENSE", "app/run.py"} <= {member.name for member in members}


def test_no_module_is_compiled_again_where_the_bundle_lies(bare_python: Path, unpacked: Path) -> None:
    script: list[str | Path] = [bare_python, "-v", unpacked / "run.py", "--repeat", "1"]
    told = run(script, unpacked).stderr.splitlines()
    ours = [line for line in told if f"{unpacked}/lib/" in line]
    assert [line for line in ours if line.startswith("# code object from") and ".pyc" in line]
    assert not [line for line in ours if line.startswith("# code object from") and ".pyc" not in line]
    assert not [line for line in ours if line.startswith("# wrote")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target__features": ["avx1024"]}, "needs CPU features that this machine lacks: avx1024"),
        ({"schema_version": 9, "new": 1}, "has schema_version 9"),
        ({"inputs": 7}, "is damaged: inputs: Input should be"),
        ({"surprise": 1}, "is damaged: surprise: Extra inputs"),
        ({"target__cpu": None}, "is damaged: target.cpu: Input should be str"),
    ],
)
def test_what_does_not_fit_is_one_message_and_exit_2(
    bare_python: Path, unpacked: Path, changes: dict[str, object], message: str
) -> None:
    edited(**changes)(unpacked / "artifact")
    done = run([bare_python, unpacked / "run.py"], unpacked)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_another_python_is_told_so(bare_python: Path, unpacked: Path) -> None:
    (library,) = (unpacked / "lib" / "tvm_ffi").glob("core.*.so")
    library.rename(library.with_name("core.cpython-399-x86_64-linux-gnu.so"))
    done = run([bare_python, unpacked / "run.py"], unpacked)
    assert done.returncode == 2
    assert "made for another Python (core.cpython-399-x86_64-linux-gnu.so)" in done.stderr


def test_damaged_and_foreign_artifacts_are_not_bundled(artifact: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(artifact, tmp_path / "copy")
    edited(target__triple=f"{OTHER}-linux-gnu")(copy)
    with pytest.raises(ArtifactError, match=f"make it on a {OTHER} machine"):
        write_bundle(copy, tmp_path / "app.tar.gz")
    shutil.copy(artifact / MANIFEST_NAME, copy)
    (copy / LIBRARY_NAME).write_bytes(b"")
    with pytest.raises(ArtifactError, match="is damaged: 0 bytes"):
        write_bundle(copy, tmp_path / "app.tar.gz")
    assert not (tmp_path / "app.tar.gz").exists()


def test_a_bundle_is_a_tar_gz(artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.tar\.gz or \.tgz"):
        write_bundle(artifact, tmp_path / "app.zip")


def test_the_command_says_how_large_it_is(artifact: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "modeldyno", "bundle", str(artifact), "-o", str(tmp_path / "a.tgz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"wrote {tmp_path / 'a.tgz'}: ")


def test_a_model_that_sorts_runs_without_the_compiler(bare_python: Path, tmp_path: Path) -> None:
    made = model(
        [node("TopK", "x k", "v i", axis=1)],
        [tensor("x", [2, 8])],
        [tensor("v", [2, 3]), tensor("i", [2, 3], TensorProto.INT64)],
        [constant("k", [3])],
    )
    compile_model(saved(tmp_path / "top.onnx", made), tmp_path / "artifact")
    with tarfile.open(write_bundle(tmp_path / "artifact", tmp_path / "app.tar.gz").path) as opened:
        opened.extractall(tmp_path, filter="data")
    np.save(tmp_path / "x.npy", np.arange(16, dtype=np.float32).reshape(2, 8))
    script, given = tmp_path / "app/run.py", tmp_path / "x.npy"
    done = run([bare_python, script, "--input", given, "-o", tmp_path / "out"], tmp_path)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "out/i.npy"), [[7, 6, 5]] * 2)


def test_the_archive_may_go_to_stdout(two_inputs: Path) -> None:
    command = [sys.executable, "-m", "modeldyno", "bundle", str(two_inputs), "-o", "-"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=120)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as opened:
        assert {name.partition("/")[0] for name in opened.getnames()} == {"bundle"}
    assert b"MiB; unpacked" in done.stderr
