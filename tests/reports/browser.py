"""The page in Debian's Chromium, without a window."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from modeldyno.base.process.procs import start

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH")
SWITCHES = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--v=0"),
    *("--allow-file-access-from-files", "--hide-scrollbars"),
)
DARK = "--blink-settings=preferredColorScheme=0"
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')


def opened(page: Path, folder: Path, *switches: str) -> tuple[str, list[str]]:
    """Open `page`; return its document as it is in the end, and what its console says.

    The browser and its children are gone on return.
    """
    assert BROWSER is not None
    log = folder / "browser.log"
    profile = f"--user-data-dir={folder / 'profile'}"
    args = [BROWSER, *SWITCHES, *switches, profile, "--dump-dom", page.as_uri()]
    with start(args, log=log) as browser:
        try:
            code = browser.process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the browser did not end: {browser.log_tail()}")
    text = log.read_text(errors="replace")
    assert code == 0, text[-2000:]
    assert "</html>" in text  # it did read the page
    return text, [line for line in text.splitlines() if "CONSOLE" in line]


def run_in(page: str, script: str, folder: Path, *, width: int, dark: bool) -> object:
    """Run `script` in `page`, so many CSS pixels wide; return what the script's promise gives.

    The page's own policy is taken away: it would refuse the script.
    """
    asked = f"<script>{script}.then(r => parent.postMessage(JSON.stringify(r), '*'))</script></body>"
    (folder / "inner.html").write_text(POLICY.sub("", page).replace("</body>", asked), encoding="utf-8")
    outer = folder / "outer.html"
    outer.write_text(
        f"<!doctype html><html><body><iframe src='inner.html' width={width} height=900></iframe><script>"
        "addEventListener('message', e => { const p = document.createElement('pre'); p.id = 'told';"
        "p.textContent = e.data; document.body.append(p); })</script></body></html>",
        encoding="utf-8",
    )
    switches = ("--virtual-time-budget=60000", f"--window-size={width + 40},1000")
    text, console = opened(outer, folder, *switches, *([DARK] if dark else []))
    found = re.search(r'<pre id="told">(.*?)</pre>', text, re.DOTALL)
    assert found, console or text[-2000:]
    return json.loads(html.unescape(found[1]))
