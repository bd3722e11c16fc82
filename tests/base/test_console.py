"""Tables are plain text that loses nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modeldyno.base.command.console import harmless, one_line, print_table

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


def test_text_of_someone_else_moves_no_cursor_and_turns_no_text_round() -> None:
    assert harmless("a\tb\nÄ 漢 ü") == "a\tb\nÄ 漢 ü"
    assert harmless("\x1b[2J\x07\r\x7f\x9b1m\u202egnp") == r"\u001b[2J\u0007\u000d\u007f\u009b1m\u202egnp"
    assert one_line("a\nb") == r"a\nb"


def test_only_the_colours_of_our_own_pass() -> None:
    text = "\x1b[31mmissing\x1b[0m \x1b[8mhidden\x1b[0m"
    assert harmless(text, coloured=True) == "\x1b[31mmissing\x1b[0m \\u001b[8mhidden\x1b[0m"
    assert "\x1b" not in harmless(text)
