"""The page in a real browser: nothing in its console, and its script runs under its own strict policy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from modeldyno.reports.page.page import write_report
from tests.reports.browser import needs_browser, opened
from tests.reports.sample import GOLDEN
from tests.reports.side_by_side import GOLDEN_SIDE_BY_SIDE


@needs_browser
@pytest.mark.parametrize("folder", [GOLDEN, GOLDEN_SIDE_BY_SIDE], ids=["one by one", "side by side"])
def test_the_report_opens_without_a_word_in_the_console(tmp_path: Path, folder: Path) -> None:
    run_dir = shutil.copytree(folder, tmp_path / "run")
    text, console = opened(write_report(run_dir), tmp_path)
    assert console == []
    assert text.count('class="plot-button"') == 2  # the script ran: its hash is that of the policy


@needs_browser
def test_a_changed_script_does_not_run(tmp_path: Path) -> None:
    report = write_report(GOLDEN, tmp_path / "report.html")
    report.write_text(report.read_text().replace("Zoom and read values", "Zoom"))
    text, console = opened(report, tmp_path)
    assert 'class="plot-button"' not in text
    assert any("Content Security Policy" in line for line in console)


@needs_browser
def test_the_check_would_see_an_error(tmp_path: Path) -> None:
    report = write_report(GOLDEN, tmp_path / "report.html")
    broken = report.read_text().replace("<main>", "<main><img src='https://127.0.0.1:1/x.png'>", 1)
    report.write_text(broken)
    assert any("Content Security Policy" in line for line in opened(report, tmp_path)[1])
