"""The catalogue: its own rows, and what a user's file does to them."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.run import InstanceType
from modeldyno.trials.catalog.instance_types import CATALOG_FILE, find_instance, load_catalog, match_instances

CATALOG = load_catalog()


def user_file(folder: Path, text: str, name: str = "mine.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "usd_per_hour"),
    [
        ("c5.xlarge", 0.17),
        ("c7g.xlarge", 0.145),
        ("g4dn.xlarge", 0.526),
        ("m5.xlarge", 0.192),
        ("t3.micro", 0.0104),
        ("ml.m5.xlarge", 0.23),
        ("ml.c5.xlarge", 0.204),
    ],
)
def test_prices_are_those_of_the_published_list(name: str, usd_per_hour: float) -> None:
    assert CATALOG[name].usd_per_hour == usd_per_hour


def test_a_row_has_all_facts_with_their_source_and_date() -> None:
    assert CATALOG["g4dn.xlarge"] == InstanceType(
        instance_type="g4dn.xlarge",
        family="g4dn",
        architecture="x86_64",
        vcpus=4,
        cores=2,
        memory_gib=15.4,
        cpu_model="Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz",
        coremark_per_s=55463,
        gpu="Tesla T4",
        gpu_count=1,
        usd_per_hour=0.526,
        price_date="2026-07-20",
        price_source="AWS public price list, via the Karpenter project",
    )


def test_a_hosting_row_has_the_shape_of_its_ec2_twin_and_its_own_price() -> None:
    own = {"instance_type", "family", "usd_per_hour", "price_date", "price_source", "assumed"}
    hosting = [one for one in CATALOG.values() if one.instance_type.startswith("ml.")]
    assert len(hosting) == 49
    for one in hosting:
        twin = CATALOG[one.instance_type.removeprefix("ml.")]
        assert one.model_dump(exclude=own) == twin.model_dump(exclude=own)
        assert one.family == f"ml.{twin.family}"
        assert one.usd_per_hour > twin.usd_per_hour
        if "usd_per_hour" in one.assumed.split():
            assert one.usd_per_hour == pytest.approx(1.2 * twin.usd_per_hour)
            assert one.price_source.startswith("assumed: ")
        else:
            assert one.price_date == "2025"


def test_a_burstable_row_says_what_its_price_pays_for() -> None:
    burstable = {one.family for one in CATALOG.values() if one.baseline_share is not None}
    assert burstable == {"t2", "t3", "t3a", "t4g", "ml.t2"}
    assert all(
        (one.family in burstable) == (one.credit_mode is not None) == bool(one.credit_source)
        for one in CATALOG.values()
    )
    t3, t2, t4g = CATALOG["t3.nano"], CATALOG["t2.xlarge"], CATALOG["t4g.nano"]
    assert (t3.baseline_share, t3.surplus_usd_per_vcpu_hour, t3.credit_mode) == (0.05, 0.05, "unlimited")
    assert (t2.baseline_share, t2.credit_mode, t2.assumed) == (0.225, "standard", "")
    assert (t4g.surplus_usd_per_vcpu_hour, t4g.assumed) == (0.04, "surplus_usd_per_vcpu_hour")


def test_a_price_of_the_users_own_is_no_assumed_one(tmp_path: Path) -> None:
    path = user_file(tmp_path, "instance_type,usd_per_hour\nml.t2.large,0.1\nml.c7g.large,0.08\n")
    mine = load_catalog(path)
    assert mine["ml.c7g.large"].assumed == ""
    assert mine["ml.t2.large"].assumed == "baseline_share surplus_usd_per_vcpu_hour credit_mode"


def test_the_table_holds_what_its_readme_says() -> None:
    readme = (CATALOG_FILE.parent / "README.md").read_text().partition("## What was kept")[2]
    listed = readme.partition("Left out")[0].replace(",", " ").split()
    families = {one.family for one in CATALOG.values()}
    assert {family.removeprefix("ml.") for family in families} <= set(listed)
    assert {"c5", "c7i-flex", "t4g", "p5", "ml.g5"} <= families
    assert families & {"g7", "g6f", "inf2", "p3"} == set()
    assert [name for name in CATALOG if "metal" in name] == []


def test_every_row_is_plausible() -> None:
    for one in CATALOG.values():
        assert one.instance_type.startswith(f"{one.family}.")
        assert 0.0005 < one.usd_per_hour / one.vcpus < 2
        assert one.cores is None or one.cores in {one.vcpus, one.vcpus // 2, (one.vcpus + 1) // 2}
        assert (one.gpu is None) == (one.gpu_count == 0)
        assert one.coremark_per_s is not None
        assert 5_000 < one.coremark_per_s / one.vcpus < 80_000
    arm = {one.family.removeprefix("ml.") for one in CATALOG.values() if one.architecture == "arm64"}
    assert arm == {
        *("a1", "c6g", "c7g", "c8g", "c9g", "m6g", "m7g", "m8g", "m9g"),
        *("r7g", "r8g", "t4g", "g5g"),
    }


def test_no_row_is_given_twice() -> None:
    with CATALOG_FILE.open(newline="") as stream:
        names = Counter(row["instance_type"] for row in csv.DictReader(stream))
    assert names.most_common(1)[0][1] == 1
    assert list(names) == list(CATALOG)


def test_an_unknown_name_comes_with_the_nearest() -> None:
    assert find_instance(CATALOG, "c7g.xlarge").vcpus == 4
    with pytest.raises(ConfigError, match=r"unknown instance type 'c7g\.xlrage'; nearest: c7g\.xlarge"):
        find_instance(CATALOG, "c7g.xlrage")


def test_patterns_match_in_their_order_and_each_type_once() -> None:
    found = [one.instance_type for one in match_instances(CATALOG, ["m5.large", "[mc]5.large", "zz*"])]
    assert found == ["m5.large", "c5.large"]
    with pytest.raises(ConfigError, match=r"nearest: m5\.large"):
        match_instances(CATALOG, ["m5.larg"])


def test_an_override_changes_only_the_cells_it_fills(tmp_path: Path) -> None:
    path = user_file(tmp_path, "instance_type,usd_per_hour,price_date,vcpus\nc7g.xlarge,0.09,2026-08-01,\n")
    mine = load_catalog(path)
    changed = {"usd_per_hour": 0.09, "price_date": "2026-08-01", "price_source": "mine.csv"}
    assert mine["c7g.xlarge"] == CATALOG["c7g.xlarge"].model_copy(update=changed)
    assert {name for name in CATALOG if mine[name] != CATALOG[name]} == {"c7g.xlarge"}
    assert list(mine) == list(CATALOG)


def test_a_price_without_a_date_is_undated_and_never_keeps_the_old_source(tmp_path: Path) -> None:
    mine = load_catalog(user_file(tmp_path, "instance_type,usd_per_hour\nc5.large,0.05\n"))["c5.large"]
    assert (mine.price_source, mine.price_date) == ("mine.csv", "undated")


def test_an_override_without_a_price_keeps_the_price_and_its_source(tmp_path: Path) -> None:
    mine = load_catalog(user_file(tmp_path, "instance_type,memory_gib\nc5.large,3.5\n"))["c5.large"]
    assert mine == CATALOG["c5.large"].model_copy(update={"memory_gib": 3.5})


NEW = InstanceType(
    instance_type="rack.small",
    family="rack",
    architecture="x86_64",
    vcpus=8,
    cores=None,
    memory_gib=32,
    cpu_model=None,
    coremark_per_s=None,
    gpu="NVIDIA L4",
    gpu_count=1,
    usd_per_hour=0.09,
    price_date="undated",
    price_source="",
)


def test_a_new_type_needs_four_values_and_csv_and_yaml_mean_the_same(tmp_path: Path) -> None:
    as_csv = (
        "instance_type,architecture,vcpus,memory_gib,usd_per_hour,gpu\n"
        "rack.small,x86_64,8,32,0.09,NVIDIA L4\n"
    )
    as_yaml = (
        "- instance_type: rack.small\n  architecture: x86_64\n  vcpus: 8\n  memory_gib: 32\n"
        "  usd_per_hour: 0.09\n  gpu: NVIDIA L4\n  cores: null\n"
    )
    for name, text in (
        ("a.csv", as_csv),
        ("a.yaml", as_yaml),
        ("a.YML", as_yaml),
        ("b.csv", "\ufeff" + as_csv),
    ):
        catalog = load_catalog(user_file(tmp_path, text, name))
        assert catalog["rack.small"] == NEW.model_copy(update={"price_source": name})
        assert list(catalog)[:-1] == list(CATALOG)


HEADER = "instance_type,architecture,vcpus,memory_gib,usd_per_hour\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "instance_type,usd_per_our\nc5.large,1\n",
            ":1: unknown column 'usd_per_our'; nearest: usd_per_hour",
        ),
        ("instance_type,vcpus,vcpus\nc5.large,1,1\n", ":1: column vcpus is given twice"),
        ("usd_per_hour\n0.1\n", ":2: column instance_type is empty or missing"),
        (
            "instance_type,usd_per_hour\nc5.large,0.1\nc5.lrge,0.1\n",
            ":3: c5.lrge is not in the catalogue, so its row needs architecture, vcpus, memory_gib too",
        ),
        (HEADER + "r,x86_64,8,32,cheap\n", ":2: column usd_per_hour: should be a valid number"),
        (HEADER + "r,x86_64,8,32,inf\n", ":2: column usd_per_hour: should be a finite number, found 'inf'"),
        (HEADER + "r,x86_64,8,32,-1\n", ":2: column usd_per_hour: should be greater than or equal to 0"),
        (HEADER + "r,x86_64,0,32,1\n", ":2: column vcpus: should be greater than 0, found '0'"),
        (
            HEADER + "r,sparc,8,32,1\n",
            ":2: column architecture: should be 'x86_64' or 'arm64', found 'sparc'",
        ),
        (HEADER + "r,x86_64,8,32\n", ":2: found 4 cells, the header has 5"),
        (HEADER + "../r,x86_64,8,32,1\n", ":2: column instance_type: '../r' is no name"),
        ("instance_type,vcpus\nc5.large,2\n\nc5.large,4\n", ":4: c5.large is given in line 2 already"),
        ('instance_type,vcpus\n"c5.large,2\n', ": no valid CSV: "),
    ],
)
def test_a_wrong_csv_names_file_line_and_column(text: str, message: str, tmp_path: Path) -> None:
    path = user_file(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_catalog(path)
    assert str(caught.value).startswith(f"{path}:")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "- instance_type: c5.large\n  usd_per_hour: cheap\n",
            ":2: column usd_per_hour: should be a valid number",
        ),
        ("- instance_type: c5.large\n\n  vcpu: 2\n", ":3: unknown column 'vcpu'; nearest: vcpus"),
        (
            "- instance_type: c5.large\n  vcpus: [2]\n",
            ":2: column vcpus: expected one value, found a list or keys",
        ),
        ("- instance_type: c5.large\n  vcpus: 2\n  vcpus: 4\n", ":3: column vcpus is given twice"),
        ("- c5.large\n", ":1: expected columns and values"),
        ("c5.large:\n  vcpus: 2\n", ":1: expected a list of instance types"),
        ("", ":1: expected a list of instance types"),
        ("- instance_type: [\n", ":2: no valid YAML: "),
        ("- {}\n", ":1: column instance_type is empty or missing"),
    ],
)
def test_a_wrong_yaml_names_file_line_and_column(text: str, message: str, tmp_path: Path) -> None:
    path = user_file(tmp_path, text, "mine.yaml")
    with pytest.raises(ConfigError) as caught:
        load_catalog(path)
    assert str(caught.value).startswith(f"{path}{message}")


def test_all_wrong_cells_of_a_row_are_named_at_once(tmp_path: Path) -> None:
    path = user_file(tmp_path, HEADER + "r,sparc,eight,32,1\n")
    with pytest.raises(ConfigError) as caught:
        load_catalog(path)
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == [
        "column architecture",
        "column vcpus",
    ]


def test_yaml_aliases_cannot_blow_up_memory(tmp_path: Path) -> None:
    rows = "".join(f"- &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))
    path = user_file(tmp_path, f"- &a0 [x]\n{rows}", "mine.yaml")
    with pytest.raises(ConfigError, match=":1: expected columns and values"):
        load_catalog(path)


def test_a_file_that_is_missing_too_large_or_of_another_kind_is_said_to_be(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path / "gone.csv", r"cannot read .*gone\.csv: No such file"),
        (user_file(tmp_path, "x" * (4 * 2**20 + 1), "large.csv"), "is larger than 4194304 bytes"),
        (user_file(tmp_path, "", "table.xlsx"), r"is a \.csv, \.yaml or \.yml file"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_catalog(path)
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"instance_type\n\xff\xfe\n")
    with pytest.raises(ConfigError, match="no UTF-8 text: invalid start byte at byte 14"):
        load_catalog(binary)
