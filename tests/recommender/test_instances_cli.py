"""`dyno instances` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from modeldyno.base.records.run import InstanceType
from modeldyno.trials.catalog.filters import coremark_per_usd
from modeldyno.trials.catalog.instance_types import load_catalog
from modeldyno.trials.catalog.instances_cli import COLUMNS, instances_command


def instances(*args: str) -> Result:
    return CliRunner().invoke(instances_command, args)


def found(*args: str) -> list[dict[str, Any]]:
    result = instances(*args, "--json")
    assert result.exit_code == 0, result.output
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


def names(*args: str) -> list[str]:
    return [row["instance_type"] for row in found(*args)]


def test_without_arguments_the_whole_catalogue_comes_cheapest_first() -> None:
    rows = found()
    assert {row["instance_type"] for row in rows} == set(load_catalog())
    prices = [row["usd_per_hour"] for row in rows]
    assert prices == sorted(prices)


def test_json_rows_are_the_records() -> None:
    (row,) = found("c7g.xlarge")
    assert InstanceType.model_validate(row) == load_catalog()["c7g.xlarge"]


def test_names_and_patterns_choose() -> None:
    assert names("c7g.xlarge", "ml.m5.*") == ["ml.m5.large", "c7g.xlarge", "ml.m5.xlarge"]
    assert set(names("c7?.large")) == {"c7a.large", "c7g.large", "c7i.large"}


def test_filters_join() -> None:
    rows = found(
        "--arch", "arm64", "--min-vcpus", "4", "--max-vcpus", "8", "--min-memory-gib", "14", "--no-gpu"
    )
    assert rows
    for row in rows:
        assert row["architecture"] == "arm64"
        assert 4 <= row["vcpus"] <= 8
        assert row["memory_gib"] >= 14
        assert row["gpu"] is None
    assert "m7g.xlarge" in {row["instance_type"] for row in rows}


def test_the_bounds_belong_to_the_range() -> None:
    assert names("c5.*", "--max-usd-per-hour", "0.17") == ["c5.large", "c5.xlarge"]
    assert names("c5.*", "--min-vcpus", "72") == ["c5.18xlarge", "c5.24xlarge"]


def test_gpu_types_and_families_can_be_asked_for() -> None:
    assert names("--gpu", "--limit", "2") == ["g5g.xlarge", "g4dn.xlarge"]  # 0.42 and 0.526 USD an hour
    assert {row["family"] for row in found("--family", "ml.g5")} == {"ml.g5"}


def test_sorting_by_size_is_lowest_first() -> None:
    assert names("c7g.*", "--sort", "vcpus", "--limit", "2") == ["c7g.medium", "c7g.large"]
    assert names("r7g.*", "--sort", "memory_gib", "--limit", "1") == ["r7g.medium"]


def test_sorting_by_coremark_per_usd_is_highest_first() -> None:
    # c7g.xlarge: 99,782 a second * 3600 s / 0.145 USD = 2.477e9 iterations for a USD; c5.xlarge: 72,684 and
    # 0.17 give 1.539e9; a1.xlarge: 47,619 and 0.102 give 1.681e9.
    catalog = load_catalog()
    assert coremark_per_usd(catalog["c7g.xlarge"]) == pytest.approx(2.4774e9, rel=1e-4)
    order = names("c5.xlarge", "a1.xlarge", "c7g.xlarge", "--sort", "coremark_per_usd")
    assert order == ["c7g.xlarge", "a1.xlarge", "c5.xlarge"]


def test_a_type_without_coremark_comes_last(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("instance_type,architecture,vcpus,memory_gib,usd_per_hour\nrack.1,x86_64,1,1,0.001\n")
    assert names("rack.1", "c5.large", "--sort", "coremark_per_usd", "--catalog", str(path)) == [
        "c5.large",
        "rack.1",
    ]


def test_the_table_shows_the_values_and_names_source_and_date_of_each_price() -> None:
    result = instances("c7g.xlarge", "ml.g5.xlarge")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["instance", "type", *COLUMNS[1:]]
    assert lines[2].split() == ["c7g.xlarge", "arm64", "4", "-", "7.6", "0.1450", "-", "99782", "-", "-"]
    assert lines[3].endswith("1 x NVIDIA A10G")
    assert "  AWS public price list, via the Karpenter project; 2026-07-20" in lines
    assert "  AWS sample code (2025): SageMaker real-time hosting; 2025" in lines


def test_a_limited_list_says_how_many_there_are() -> None:
    assert "Shown: 3 of 430." in instances("--limit", "3").stdout
    assert "Shown: 1." in instances("c5.large", "--limit", "3").stdout


def test_no_match_says_so_and_exits_1() -> None:
    for extra in ((), ("--json",)):
        result = instances("--min-vcpus", "100000", *extra)
        assert (result.exit_code, result.stderr) == (
            1,
            "no instance type matches (of 430 in the catalogue)\n",
        )
    assert json.loads(result.stdout) == []


def dyno_instances(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modeldyno", "instances", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_unknown_name_is_one_message_with_the_nearest_and_exit_2() -> None:
    done = dyno_instances("c7g.xlrge")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: unknown instance type 'c7g.xlrge'; nearest: c7g.xlarge")
    assert dyno_instances("--family", "c7q").stderr.startswith("error: unknown family 'c7q'; nearest: c7")


def test_a_wrong_catalogue_is_one_message_with_its_line_and_exit_2(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("instance_type,usd_per_hour\nc5.large,abc\n")
    done = dyno_instances("--catalog", str(path))
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {path}:2: column usd_per_hour: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_missing_catalogue_and_a_wrong_flag_exit_2() -> None:
    assert instances("--catalog", "/nowhere.csv").exit_code == 2
    assert instances("--arch", "sparc").exit_code == 2
    assert instances("--min-vcpus", "0").exit_code == 2
