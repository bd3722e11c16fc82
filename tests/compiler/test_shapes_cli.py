"""`dyno compile --shape` with ranges and lists, and `dyno run` of what it makes, as a user meets them."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np

from tests.bucketed import source
from tests.compiler.models import mlp, saved
from tests.compiler.sequence_models import encoder
from tests.compiler.test_compile_cli import dyno, refused


def test_a_range_becomes_a_table_of_buckets_and_any_size_runs(tmp_path: Path) -> None:
    path = saved(tmp_path / "mlp.onnx", mlp("rows"))
    out = tmp_path / "out"
    done = dyno("compile", path, "-o", out, "--shape", "x=1..4@1|4,8")
    assert done.returncode == 0, done.stderr
    assert "bucket 4 (1 of 2)" in done.stderr
    table = done.stdout.splitlines()
    assert table[1].split() == ["bucket", "ms", "ms", "per", "row", "GFLOP", "most", "padding", "at"]
    assert table[4].split()[-2:] == ["50%", "2"]
    assert "rows (x[0]): 1 to 4, and more in several runs; compiled for 1, 4" in done.stdout
    assert "thread(s)" in done.stdout
    np.save(tmp_path / "x.npy", np.ones((3, 8), np.float32))
    ran = dyno("run", out, "--input", tmp_path / "x.npy", "-o", tmp_path / "y", "--repeat", "1")
    assert ran.returncode == 0, ran.stderr
    expected = source(path)({"x": np.ones((3, 8), np.float32)})["y"]
    np.testing.assert_allclose(np.load(tmp_path / "y" / "y.npy"), expected, rtol=1e-5)
    for shape, rows in ((), 1), (("--shape", "x=3,8"), 3), (("--shape", "x=9,8"), 9):
        assert f"output y: float32 [{rows}, 3]" in dyno("run", out, "--repeat", "1", *shape).stdout
    both = dyno("run", out, "--shape", "x=3,8", "--input", tmp_path / "x.npy")
    assert (both.returncode, "--shape is for random input" in both.stderr) == (2, True)
    bundled = dyno("bundle", out, "-o", tmp_path / "app.tar.gz")
    assert bundled.returncode == 0, bundled.stderr
    with tarfile.open(tmp_path / "app.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    check = "; ".join(
        [
            "import sys; sys.path.insert(0, 'app/lib')",
            "from pathlib import Path; import numpy as np",
            "from modeldyno.runtime.open import open_session",
            "y = open_session(Path('app/artifact'), 1).run({'x': np.ones((7, 8), np.float32)})['y']",
            "print(y.shape, 'pydantic' in sys.modules)",
        ]
    )
    assert python(check, tmp_path) == "(7, 3) False\n"


def python(code: str, folder: Path) -> str:
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_for_another_processor_padding_is_checked_on_the_source_and_nothing_is_measured(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    done = dyno(
        "compile",
        saved(tmp_path / "mlp.onnx", mlp("rows")),
        "-o",
        out,
        "--target",
        "neoverse-n1",
        "--shape",
        "x=1..3@3,8",
        "--json",
    )
    manifest = json.loads(done.stdout)
    (bucket,) = manifest["buckets"]["buckets"]
    assert (bucket["p50_ms"], manifest["buckets"]["measured_on"], manifest["parity"]) == (None, None, None)
    assert (bucket["sizes"], bucket["worst_sizes"], bucket["padding_share"]) == ([3], [1], 0.6667)
    assert "nothing was measured" in dyno("inspect", out).stdout


def test_ranges_that_can_not_be_compiled_exit_2_with_one_message_and_leave_nothing(tmp_path: Path) -> None:
    rows, text = saved(tmp_path / "m.onnx", mlp("rows")), saved(tmp_path / "t.onnx", encoder(mask=False))
    out = ("-o", tmp_path / "out")
    refused(
        tmp_path, "never padded: --shape 'input_ids=2,2|3|4'", text, "--shape", "input_ids=2,2..4@3|4", *out
    )
    refused(tmp_path, "a range with its buckets (1..32@1|8|32)", rows, "--shape", "x=1...4,8", *out)
