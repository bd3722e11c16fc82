"""A user's own Locust configuration lies in the home folder and in the current one."""

from __future__ import annotations

from pathlib import Path

from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.record import read_record
from tests.loadgen.test_start import load

CONFIGURATION = "users = 50\nspawn-rate = 50\nrun-time = 1s\nheadless = false\nonly-summary = false\n"


def test_locusts_own_configuration_changes_no_load_test(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".locust.conf").write_text(CONFIGURATION)
    (tmp_path / "locust.conf").write_text(CONFIGURATION)
    (tmp_path / "pyproject.toml").write_text('[tool.locust]\nusers = 50\nrun-time = "1s"\n')
    env = {"HOME": str(tmp_path / "home"), "LOCUST_USERS": "50", "LOCUST_RUN_TIME": "1s"}
    args = ("--warmup", "0", "--duration", "3", "-o", "result.json")
    done = load(tmp_path, *args, env=env, server=("--service-ms", "50"))
    assert done.returncode == 0, done.stderr
    found = read_record(tmp_path / "result.json", LoadResult)
    assert found.window_s == 3
    assert found.samples <= 60  # of one user: 50 would get fifty times as many
    assert found.timeline[2].requests > 0
