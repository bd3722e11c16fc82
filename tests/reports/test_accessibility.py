"""axe-core on the sample pages: none of its rules is broken, on a phone and a desktop, light and dark."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from modeldyno.reports.page.page import render
from modeldyno.reports.page.runs import render_runs
from modeldyno.reports.results.run_folder import read_run
from tests.reports.browser import needs_browser, run_in
from tests.reports.sample import GOLDEN
from tests.reports.side_by_side import GOLDEN_SIDE_BY_SIDE

pytestmark = [pytest.mark.slow, needs_browser]
AXE = "axe-core@4.14.1"
ASK = """axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(
    v => v.id + ': ' + v.nodes.map(n => n.target.join(' ')).slice(0, 5).join(', ')))"""
OPENED = "document.querySelectorAll('details').forEach(d => d.open = true);"
PLOTTED = "document.querySelectorAll('.plot-button').forEach(b => b.click());"
WHAT = (
    "({wide: document.documentElement.scrollWidth, dark: matchMedia('(prefers-color-scheme: dark)').matches})"
)


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core, from the npm registry: it is for tests alone."""
    folder = tmp_path_factory.mktemp("axe")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm on PATH")
    done = subprocess.run(
        [npm, "pack", AXE], check=False, cwd=folder, capture_output=True, text=True, timeout=120
    )
    if done.returncode:
        pytest.skip(f"npm does not give {AXE}: {done.stderr[-200:]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        found = archive.extractfile("package/axe.min.js")
        assert found is not None
        return found.read().decode()


@pytest.mark.parametrize("folder", [GOLDEN, GOLDEN_SIDE_BY_SIDE], ids=["one by one", "side by side"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_rule_of_axe_is_broken(axe: str, tmp_path: Path, folder: Path, width: int, *, dark: bool) -> None:
    page = render(read_run(folder))
    found = run_in(page, f"{axe};{OPENED}{PLOTTED}{ASK}", tmp_path, width=width, dark=dark)
    assert found == []


def test_no_rule_is_broken_on_a_page_of_several_runs(axe: str, tmp_path: Path) -> None:
    page = render_runs([("old", read_run(GOLDEN)), ("new", read_run(GOLDEN_SIDE_BY_SIDE))])
    for width in (360, 1280):
        assert run_in(page, f"{axe};{OPENED}{ASK}", tmp_path, width=width, dark=False) == []


def test_the_arrow_keys_read_the_values_of_a_plot(tmp_path: Path) -> None:
    page = render(read_run(GOLDEN))
    asked = f"""{PLOTTED}
        const box = document.querySelector('[data-plot=time] .plot');
        const press = key => box.dispatchEvent(new KeyboardEvent('keydown', {{key}}));
        press('ArrowRight'); press('ArrowRight');
        Promise.resolve(document.querySelector('[data-plot=time] .plot-values').textContent)"""
    said = run_in(page, asked, tmp_path, width=360, dark=False)
    assert isinstance(said, str)
    second = read_run(GOLDEN).trials["c7a.large_compiled_t2_w1"].points[1].timeline[1]
    assert said.startswith(
        f"second 1: 1 \u00b7 p99 of c7a.large \u00b7 compiled \u00b7 2 \u00d7 1: {second.p99_ms:g} ms; "
    )


def test_axe_would_find_something(axe: str, tmp_path: Path) -> None:
    page = "<!doctype html><html><body><main><img src='data:,'></main></body></html>"
    found = run_in(page, f"{axe};{ASK}", tmp_path, width=360, dark=False)
    assert isinstance(found, list)
    assert any(one.startswith("image-alt") for one in found)


def test_the_ranking_fits_on_a_desktop(tmp_path: Path) -> None:
    asked = "[...document.querySelectorAll('.wide')].map(box => box.scrollWidth - box.clientWidth)"
    for folder in (GOLDEN, GOLDEN_SIDE_BY_SIDE):
        page = render(read_run(folder))
        found = run_in(page, f"Promise.resolve({asked})", tmp_path, width=1280, dark=False)
        assert isinstance(found, list)
        assert found[0] == 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_makes_the_page_wider_than_a_phone(tmp_path: Path, *, dark: bool) -> None:
    page = render(read_run(GOLDEN_SIDE_BY_SIDE))
    script = f"{OPENED}{PLOTTED}Promise.resolve({WHAT})"
    for width in (320, 360):
        found = run_in(page, script, tmp_path, width=width, dark=dark)
        assert found == {"wide": width, "dark": dark}
