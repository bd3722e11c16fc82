"""A setting is written once: its option, its field in a job, its JSON and its messages follow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import click
import pytest
from click.testing import CliRunner
from pydantic import BaseModel, ConfigDict, ValidationError

from modeldyno.base.command.wording import flags_by_name, message_of, with_flags
from modeldyno.base.errors import ConfigError
from modeldyno.base.flags import arguments_of, flags_of
from modeldyno.base.settings import Setting, described, fields_of, from_json, to_json


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


@dataclass(frozen=True, kw_only=True)
class Shared:
    rows: Annotated[int, Setting("Rows of `names`.", least=1, most=8)] = 2
    rate_rps: Annotated[float | None, Setting("Arrivals.", absent="none", above=0, flag="--rate")] = None


@dataclass(frozen=True)
class Settings(Shared):
    model: Annotated[Path, Setting("What is served.", argument=True)]
    kind: Annotated[Literal["a", "b"], Setting("Which.", short="-k")] = "a"
    fast: Annotated[bool, Setting("Be slow instead.")] = True
    dry: Annotated[bool, Setting("Do nothing.")] = False
    cores: Annotated[tuple[int, ...], Setting("Cores.", absent="all", parse=_numbers)] = ()
    names: Annotated[tuple[str, ...], Setting("Names, once for each.")] = ()


class Section(BaseModel, Shared):  # type: ignore[misc] # frozen by its configuration
    model_config = ConfigDict(frozen=True, extra="forbid")
    more: int = 1


described(Section)


@click.command()
@flags_of(Settings, "settings")
def probe(settings: Settings) -> None:
    """Print what was given."""
    click.echo(to_json(settings))


FULL = Settings(
    Path("m.onnx"), rows=3, rate_rps=1.5, kind="b", fast=False, dry=True, cores=(0, 2), names=("x", "y=1")
)


@pytest.mark.parametrize("settings", [FULL, Settings(Path("m.onnx"))])
def test_what_is_written_as_arguments_and_as_json_is_read_back(settings: Settings) -> None:
    done = CliRunner().invoke(probe, arguments_of(settings))
    assert from_json(Settings, done.output) == settings


def test_options_have_the_names_types_and_defaults_of_the_fields() -> None:
    options = {option.name: option for option in probe.params}
    assert {name: option.opts for name, option in options.items()} == {
        "rows": ["--rows"],
        "rate_rps": ["--rate"],
        "model": ["model"],
        "kind": ["--kind", "-k"],
        "fast": ["--no-fast"],
        "dry": ["--dry"],
        "cores": ["--cores"],
        "names": ["--names"],
    }
    text = " ".join(CliRunner().invoke(probe, ["--help"]).output.split())
    assert "[default: 2; 1<=x<=8]" in text
    assert "Arrivals (default: none). [x>0]" in text
    assert "[a|b]" in text
    assert "Rows of --names." in text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--rows", "9"], "9 is not in the range 1<=x<=8"),
        (["--rate", "0"], "0.0 is not in the range x>0"),
        (["--rate", "inf"], "inf is no finite number"),
        (["--kind", "c"], "'c' is not one of 'a', 'b'"),
    ],
)
def test_a_value_out_of_bounds_is_refused(given: list[str], said: str) -> None:
    done = CliRunner().invoke(probe, ["m.onnx", *given])
    assert done.exit_code == 2
    assert said in done.output


def test_a_pydantic_record_that_inherits_settings_has_their_bounds_and_says_what_they_are() -> None:
    assert list(Section.model_fields) == ["rows", "rate_rps", "more"]
    assert Section.model_fields["rate_rps"].description == "arrivals; left out: none"
    assert Section(rows=4).rate_rps is None
    for wrong in ({"rows": 9}, {"rate_rps": 0}, {"other": 1}):
        with pytest.raises(ValidationError):
            Section.model_validate(wrong)


def test_a_field_without_a_setting_is_no_option() -> None:
    @dataclass(frozen=True)
    class Plain(Shared):
        inner: int = 0

    assert [each.name for each in fields_of(Plain)] == ["rows", "rate_rps"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise `rate_rps`", "raise --rate"),
        ("take `rate_rps=5`", "take `--rate 5`"),
        ('take `kind="b"`', "take `--kind b`"),
        ("`fast=False` is slower, `dry=True` does nothing", "--no-fast is slower, --dry does nothing"),
        ("`dyno compile` and `other=1` stay", "`dyno compile` and `other=1` stay"),
    ],
)
def test_settings_in_a_message_become_flags(text: str, said: str) -> None:
    assert with_flags(text, flags_by_name(probe)) == said
    assert with_flags(text, flags_by_name(None)) == text


def test_an_error_names_the_flag_of_its_field_once() -> None:
    told = ConfigError("9 is too many", field="rows", hint="take `rows=8`")
    assert message_of(told, probe) == "9 is too many: take `--rows 8`"
    assert message_of(ConfigError("9 is too many", field="rows"), probe) == "--rows: 9 is too many"
    assert message_of(ConfigError("`rows` 9: too many", field="rows"), probe) == "--rows 9: too many"
    assert message_of(ConfigError("9 is too many", field="elsewhere"), probe) == "9 is too many"
