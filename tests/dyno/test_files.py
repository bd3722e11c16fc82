"""Files are written whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dyno.errors import OutputError
from dyno.files import staged_folder, write_bytes, write_text


def test_a_missing_folder_is_made_and_the_text_is_there(tmp_path: Path) -> None:
    goal = tmp_path / "a" / "b" / "note.txt"
    write_text(goal, "größer")
    assert goal.read_bytes() == b"gr\xc3\xb6\xc3\x9fer"
    assert goal.stat().st_mode & 0o777 == 0o644
    assert list(goal.parent.iterdir()) == [goal]


def test_a_second_write_replaces_the_first(tmp_path: Path) -> None:
    goal = tmp_path / "x"
    write_bytes(goal, b"long first content")
    write_bytes(goal, b"2nd")
    assert goal.read_bytes() == b"2nd"


def test_when_the_disk_is_full_the_old_content_stays_and_no_other_file(tmp_path: Path) -> None:
    goal = tmp_path / "x"
    write_bytes(goal, b"old")
    # A limit on file size makes the kernel refuse the write halfway, as a full disk does.
    code = (
        "import resource, sys; from pathlib import Path; from dyno.files import write_bytes\n"
        "from dyno.errors import OutputError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: write_bytes(Path(sys.argv[1]), b'n' * 100_000)\n"
        "except OutputError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(goal)], capture_output=True, text=True, check=True)
    assert done.stdout == f"cannot write {goal}: File too large\n"
    assert goal.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [goal]


def test_a_folder_that_cannot_be_made_is_an_output_error_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    goal = tmp_path / "file" / "below"
    with pytest.raises(OutputError, match=f"cannot write {goal}: "):
        write_text(goal, "x")
    with pytest.raises(OutputError, match=f"cannot write {goal}: "), staged_folder(goal):
        raise AssertionError("the block must not run")


def test_a_staged_folder_appears_only_at_the_end(tmp_path: Path) -> None:
    goal = tmp_path / "artifact"
    with staged_folder(goal) as stage:
        (stage / "model.so").write_text("code")
        assert not goal.exists()
    assert (goal / "model.so").read_text() == "code"
    assert goal.stat().st_mode & 0o777 == 0o755
    assert list(tmp_path.iterdir()) == [goal]


def test_a_staged_folder_that_fails_leaves_the_old_one_alone(tmp_path: Path) -> None:
    goal = tmp_path / "artifact"
    goal.mkdir()
    (goal / "old").write_text("1")
    with pytest.raises(ZeroDivisionError), staged_folder(goal) as stage:
        (stage / "new").write_text(str(1 // 0))
    assert [path.name for path in goal.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [goal]


def test_a_staged_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    goal = tmp_path / "artifact"
    goal.mkdir()
    (goal / "old").write_text("1")
    with staged_folder(goal) as stage:
        (stage / "new").write_text("2")
    assert [path.name for path in goal.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [goal]
