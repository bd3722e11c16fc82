"""The notebooks run from top to bottom, and hold no outputs of somebody's machine."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS


SHOWN = {
    "gate_a_pull_request": ("pass - ", "regression - ", "exit code 1", "slower by"),
    "load_test_done_right": ("closed, 1 user", "open, 40 a second"),
    "the_road": ("1. c7a.medium", "report.html:"),
}
"""What each prints in the end."""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs_and_shows_what_it_is_about(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT)}}).execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert [text for text in SHOWN[path.stem] if text not in printed] == []
