"""Tables are plain text that loses nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modeldyno.base.command.console import print_table

if TYPE_CHECKING:
    import pytest


def test_a_table_lines_up_and_keeps_every_character(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "ms"), [("c5.large [x]", "9.5"), ("c7i", "100.25")], right=("ms",))
    assert capsys.readouterr().out == (
        "name              ms\n"
        "------------  ------\n"
        "c5.large [x]     9.5\n"
        "c7i           100.25\n"
    )  # fmt: skip


def test_a_cell_of_several_lines_stays_in_its_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("reason",), [("died:\nout of memory",)])
    assert capsys.readouterr().out.splitlines()[2] == "died: out of memory"


def test_a_table_without_rows_still_has_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a", "bc"), [])
    assert capsys.readouterr().out == "a  bc\n-  --\n"
