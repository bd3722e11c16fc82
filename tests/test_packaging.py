"""The package names are generic (`runtime`, `compiler`): nobody else in the environment may claim one."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

ROOMS = ("dyno", "runtime", "compiler", "serving", "loadgen", "recommender", "reports")
ROOT = Path(__file__).parent.parent


def _pyproject_list(key: str) -> list[str]:
    found = re.search(rf"^{key} = (\[.*\])$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert found is not None
    return re.findall(r'"([^"]+)"', found[1])


def _foreign_claims() -> dict[str, set[str]]:
    claimed = packages_distributions()
    return {room: others for room in ROOMS if (others := set(claimed.get(room, [])) - {"modeldyno"})}


def test_no_other_distribution_claims_one_of_our_names() -> None:
    assert _foreign_claims() == {}


def test_a_distribution_that_claims_one_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = tmp_path / "intruder-1.0.dist-info"
    planted.mkdir()
    (planted / "METADATA").write_text("Metadata-Version: 2.1\nName: intruder\nVersion: 1.0\n")
    (planted / "top_level.txt").write_text("serving\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert _foreign_claims() == {"serving": {"intruder"}}


def test_our_names_are_imported_from_this_checkout() -> None:
    files = {room: Path(str(import_module(room).__file__)) for room in ROOMS}
    assert {room: file.parent for room, file in files.items()} == {room: ROOT / room for room in ROOMS}


def test_the_wheel_has_every_room_and_each_says_that_it_is_typed() -> None:
    assert _pyproject_list("packages") == list(ROOMS)
    assert [room for room in ROOMS if not (ROOT / room / "py.typed").is_file()] == []


def test_the_installed_metadata_is_that_of_this_checkout() -> None:
    declared = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert declared is not None
    assert version("modeldyno") == declared[1]
