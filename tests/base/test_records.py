"""Records are strict about what they read, and read back what they wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from modeldyno.base.errors import ConfigError, OutputError
from modeldyno.base.records.load import Percentile
from modeldyno.base.records.record import Estimate, TensorSpec, read_record, write_record
from modeldyno.base.records.run import Candidate, InstanceType, Limits, ServerSettings

C7G = InstanceType(
    instance_type="c7g.xlarge",
    family="c7g",
    architecture="arm64",
    vcpus=4,
    cores=None,
    memory_gib=7.6,
    cpu_model=None,
    coremark_per_s=99782,
    gpu=None,
    usd_per_hour=0.145,
    price_date="2026-07-20",
    price_source="AWS public price list",
)


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "types" / "c7g.json"
    write_record(path, C7G)
    assert read_record(path, InstanceType) == C7G
    assert path.read_text().endswith("}\n")


def test_an_infinite_value_is_read_back(tmp_path: Path) -> None:
    estimate = Estimate(value=1.0, low=0.5, high=float("inf"), method="normal")
    write_record(tmp_path / "x", estimate)
    assert read_record(tmp_path / "x", Estimate) == estimate


def test_a_record_is_never_edited_in_place() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        C7G.usd_per_hour = 0.1


def test_an_unknown_key_is_an_error() -> None:
    with pytest.raises(ValidationError, match="p98_ms"):
        Limits.model_validate({"p98_ms": 5})


def test_limits_must_be_positive_and_an_error_rate_at_most_one() -> None:
    for wrong in ({"p99_ms": 0}, {"error_rate": 1.5}, {"throughput_rps": -1}):
        with pytest.raises(ValidationError):
            Limits.model_validate(wrong)


@pytest.mark.parametrize("field", ["memory_gib", "usd_per_hour"])
@pytest.mark.parametrize("value", ["inf", "nan", "-1"])
def test_an_instance_has_a_finite_memory_and_price(field: str, value: str) -> None:
    with pytest.raises(ValidationError, match=field):
        InstanceType.model_validate(C7G.model_dump() | {field: value})


def test_the_key_of_a_candidate_tells_all_settings_apart() -> None:
    settings = [ServerSettings(threads=t, workers=w) for t in (1, 2) for w in (1, 2)]
    keys = {
        Candidate(backend=backend, instance_type=name, settings=one).key
        for backend in ("onnxruntime", "compiled")
        for name in ("c5.large", "c7i-flex.large")
        for one in settings
    }
    assert len(keys) == 16
    first = Candidate(backend="compiled", instance_type="c5.large", settings=settings[1])
    assert first.key == "c5.large_compiled_t1_w2"


def test_a_dimension_of_any_size_is_none() -> None:
    spec = TensorSpec.model_validate_json('{"name": "x", "dtype": "float32", "shape": [null, 3]}')
    assert spec.shape == (None, 3)


def test_a_missing_file_names_the_path_and_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*gone\.json: No such file"):
        read_record(tmp_path / "gone.json", Estimate)


def test_a_wrong_file_names_the_path_the_kind_and_the_place(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"percentile": 99, "ms": "slow", "low_ms": 1, "high_ms": 2}')
    with pytest.raises(ConfigError, match=r"x\.json is no valid Percentile: ms: .*number"):
        read_record(path, Percentile)
    path.write_text('{"percentile": 99')
    with pytest.raises(ConfigError, match=r"is no valid Percentile: the document: Invalid JSON"):
        read_record(path, Percentile)


def test_a_record_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_record(tmp_path / "file" / "x.json", C7G)
