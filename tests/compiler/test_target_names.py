"""Instance types and SageMaker's names as targets."""

from __future__ import annotations

import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.base.host.facts import host_facts
from modeldyno.compiler.targets.catalog import TARGETS, resolve_target
from modeldyno.compiler.targets.names import PRESETS, other_names, preset_of
from modeldyno.trials.catalog.instance_types import load_catalog

CATALOG = list(load_catalog().values())
# What the catalogue's processors are; Intel's numbers and AWS' own AMD ones.
GENERATIONS = {
    **dict.fromkeys(("8124M", "8175M"), "skylake-avx512"),
    **dict.fromkeys(("8223CL", "8259CL", "8275CL"), "cascadelake"),
    "8375C": "icelake-server",
    **dict.fromkeys(("8488C", "6975P-C", "8559C"), "sapphirerapids"),
    **dict.fromkeys(("7571", "7R32"), "x86-64-v3"),
    "7R13": "znver3",
    "9R14": "znver4",
    "9R45": "znver5",
}


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("c7g.xlarge", "neoverse-v1"),
        ("ml.c5.large", "skylake-avx512"),
        ("ml_c6g", "neoverse-n1"),
        ("m7i-flex.large", "sapphirerapids"),
        ("rasp4b", "cortex-a72"),
    ],
)
def test_an_instance_type_stands_for_the_preset_of_its_processor(name: str, preset: str) -> None:
    assert resolve_target(name, host_facts()) == TARGETS[preset]


def test_every_type_of_the_catalogue_runs_the_code_of_its_preset() -> None:
    for row in CATALOG:
        if row.gpu:
            continue  # below
        target = resolve_target(row.instance_type, host_facts())
        assert target.architecture.replace("aarch64", "arm64") == row.architecture, row.instance_type
        for number, generation in GENERATIONS.items():
            if number in (row.cpu_model or ""):
                assert set(target.features) <= set(TARGETS[generation].features), row.instance_type


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("ml_g4dn", "sm_75"),
        ("p4d.24xlarge", "sm_80"),
        ("ml_g5", "sm_86"),
        ("ml.g6.xlarge", "sm_89"),
        ("p5.48xlarge", "sm_90"),
    ],
)
def test_a_type_with_a_gpu_stands_for_the_architecture_of_the_gpu(name: str, architecture: str) -> None:
    target = resolve_target(name, host_facts())
    assert (target.kind, target.cpu) == ("cuda", architecture)


def test_every_accelerated_type_of_the_catalogue_is_a_gpu_target_or_refused_with_the_processor() -> None:
    for row in CATALOG:
        if not row.gpu:
            continue
        if row.instance_type.removeprefix("ml.").split(".")[0] in PRESETS:
            assert resolve_target(row.instance_type, host_facts()).kind == "cuda"
            assert row.architecture == "x86_64", "GPU code is started by x86-64 code"
        else:
            with pytest.raises(ConfigError, match=r"has an accelerator.*`target=[a-z0-9-]+` compiles"):
                preset_of(row.instance_type)


@pytest.mark.parametrize("name", ["jetson_nano", "jetson-xavier"])
def test_a_jetson_is_refused_with_what_can_be_had(name: str) -> None:
    with pytest.raises(ConfigError, match=r"is not supported: .*`target=cortex-a72`"):
        resolve_target(name, host_facts())


def test_an_unknown_name_gets_the_nearest_of_all_spellings() -> None:
    with pytest.raises(ConfigError, match=r"nearest: .*ml_c5"):
        resolve_target("ml_c55", host_facts())
    with pytest.raises(ConfigError, match=r"unknown target 'z99\.large'"):
        resolve_target("z99.large", host_facts())


def test_every_other_name_is_of_a_preset() -> None:
    named = [(preset, name) for preset in TARGETS for name in other_names(preset)]
    assert {preset_of(name if name.startswith("rasp") else f"ml_{name}") for _, name in named} <= set(TARGETS)
    assert len({name for _, name in named}) == len(named)
