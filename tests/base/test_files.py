"""Files are written whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modeldyno.base.errors import OutputError
from modeldyno.base.files import staged_file, staged_folder, write_bytes, write_text


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
        "import resource, sys; from pathlib import Path; from modeldyno.base.files import write_bytes\n"
        "from modeldyno.base.errors import OutputError\n"
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


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    real, link, dangling = tmp_path / "real", tmp_path / "link", tmp_path / "dangling"
    real.write_text("old")
    real.chmod(0o600)
    link.symlink_to("real")
    dangling.symlink_to(tmp_path / "new")
    write_text(link, "one")
    write_text(dangling, "two")
    assert link.is_symlink()
    assert dangling.is_symlink()
    assert real.read_text() == "one"
    assert real.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").read_text() == "two"


def test_a_pipe_stays_one_and_its_reader_gets_the_content(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code = "import sys; print(open(sys.argv[1]).read(), end='')"
    with subprocess.Popen([sys.executable, "-c", code, str(pipe)], stdout=subprocess.PIPE) as reader:
        write_bytes(pipe, b"through")
        assert reader.communicate(timeout=60)[0] == b"through"
    assert pipe.is_fifo()


def test_a_descriptor_of_this_process_is_written_to_not_the_file_behind_it_replaced(tmp_path: Path) -> None:
    goal = tmp_path / "out"
    code = (
        "from pathlib import Path; from modeldyno.base.files import write_text\n"
        "print('before', flush=True); write_text(Path('/dev/stdout'), 'written '); print('after')\n"
    )
    with goal.open("ab") as stream:
        subprocess.run([sys.executable, "-c", code], stdout=stream, check=True)
        assert os.fstat(stream.fileno()).st_ino == goal.stat().st_ino
    assert goal.read_text().endswith("after\n")


def test_a_failing_block_leaves_a_pipe_without_a_word(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ZeroDivisionError), staged_file(pipe) as stream:
        stream.write(b"%d" % (1 // 0))  # all of it would wait for a reader, and there is none


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to(path)], ids=["folder", "loop"])
def test_what_can_be_no_file_is_told(tmp_path: Path, make: Callable[[Path], None]) -> None:
    goal = tmp_path / "x"
    make(goal)
    with pytest.raises(OutputError, match=f"cannot write {goal}: "):
        write_bytes(goal, b"")


def test_a_link_to_a_folder_stays_and_the_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "old").write_text("")
    (tmp_path / "link").symlink_to("real")
    with staged_folder(tmp_path / "link") as stage:
        (stage / "new").write_text("")
    assert (tmp_path / "link").is_symlink()
    assert [entry.name for entry in (tmp_path / "real").iterdir()] == ["new"]


def test_a_folder_takes_the_place_of_nothing_else(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OutputError, match="no folder"), staged_folder(pipe):
        pass
    with pytest.raises(OutputError, match="mount point"), staged_folder(Path("/proc")):
        pass
    assert pipe.is_fifo()
