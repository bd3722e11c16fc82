"""`dyno docs`: the pages as they are installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from modeldyno.base.command.docs_cli import docs_command, pages, plain
from modeldyno.base.errors import ConfigError

ROOT = Path(__file__).parents[2]


def test_it_lists_each_page_with_its_title() -> None:
    lines = CliRunner().invoke(docs_command, []).output.splitlines()
    assert [line.split()[0] for line in lines[2:]] == sorted(
        path.stem for path in (ROOT / "docs").glob("*.md")
    )
    assert "The job file of `dyno recommend`" in next(line for line in lines if line.startswith("job "))


@pytest.mark.parametrize("name", ["job", "job.md"])
def test_a_page_is_set_plainly_or_given_as_it_is(name: str) -> None:
    shown = CliRunner().invoke(docs_command, [name], env={"COLUMNS": "80"}).output
    assert "The job file of dyno recommend" in shown
    assert not {"\x1b", "```", "| ---"} & set(shown.split())
    written = (ROOT / "docs" / "job.md").read_text(encoding="utf-8")
    assert CliRunner().invoke(docs_command, [name, "--raw"]).output == written.rstrip() + "\n"


def test_lines_of_code_stay_whole_and_links_name_the_page() -> None:
    code = "dyno load http://127.0.0.1:8080 --rate 50 --limit p99_ms=50 " + "# words " * 12
    shown = plain(f"# A\n\nSee [that](load-result.md#numbers).\n\n    {code}\n")
    assert code.rstrip() in shown
    assert "See that (dyno docs load-result)." in shown


def test_every_page_can_be_shown() -> None:
    assert all(plain(path.read_text(encoding="utf-8")) for path in pages().values())


def test_an_unknown_page_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown page 'jobs'; nearest: job"):
        CliRunner().invoke(docs_command, ["jobs"], catch_exceptions=False)
