"""The stand-in for pydantic reads what pydantic reads, and refuses what it refuses, at the same place."""

from __future__ import annotations

import json
from typing import Any

import pydantic
import pytest

from modeldyno.base.records import plain_models

RECORDS = """
from typing import Annotated, Literal

class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    size: int | None

class Whole(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    version: Literal[1, 2] = 2
    parts: tuple[Part, ...]
    share: float = Field(default=0.5, description="a share")
    options: dict[str, str] = Field(default_factory=dict)
    whole: bool = True
    port: Annotated[int, Field(ge=0)] = 1

    @property
    def count(self) -> int:
        return len(self.parts)
"""
GOOD: dict[str, Any] = {"parts": [{"name": "a", "size": 3}, {"name": "b", "size": None}]}
BAD: dict[str, Any] = {
    "a key too many": {**GOOD, "more": 1},
    "a key too many below": {"parts": [{"name": "a", "size": 1, "more": 1}]},
    "a key too few": {},
    "a key too few below": {"parts": [{"name": "a"}]},
    "text for a number": {"parts": [{"name": "a", "size": "three"}]},
    "a number for text": {"parts": [{"name": 1, "size": 3}]},
    "a fraction for a whole number": {"parts": [{"name": "a", "size": 1.5}]},
    "an object for an array": {"parts": {}},
    "an array for an object": {"parts": [[]]},
    "nothing where there must be a number": {**GOOD, "share": None},
    "another version": {**GOOD, "version": 3},
    "a number in a mapping of texts": {**GOOD, "options": {"a": 1}},
    "a list": [],
}


@pytest.fixture
def kinds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The same records with the stand-in and with pydantic, from two modules that differ in one line."""
    import importlib.util
    import sys

    found = []
    for library in (plain_models, pydantic):
        name = f"records_of_{library.__name__.replace('.', '_')}"
        path = tmp_path_factory.mktemp("records") / f"{name}.py"
        path.write_text(f"from {library.__name__} import BaseModel, ConfigDict, Field\n{RECORDS}")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found.append(module.Whole)
    return found[0], found[1]


@pytest.mark.parametrize("more", [{}, {"share": 1}, {"options": {"a": "b"}, "version": 1, "whole": False}])
def test_both_read_the_same(kinds: tuple[Any, Any], more: dict[str, Any]) -> None:
    plain, full = (kind.model_validate_json(json.dumps({**GOOD, **more})) for kind in kinds)
    for name in ("version", "share", "options", "whole", "port", "count"):
        assert getattr(plain, name) == getattr(full, name)
    assert [(part.name, part.size) for part in plain.parts] == [(part.name, part.size) for part in full.parts]


@pytest.mark.parametrize("name", BAD)
def test_both_refuse_the_same_and_name_the_same_place(kinds: tuple[Any, Any], name: str) -> None:
    text = json.dumps(BAD[name])
    with pytest.raises(plain_models.ValidationError) as plain:
        kinds[0].model_validate_json(text)
    with pytest.raises(pydantic.ValidationError) as full:
        kinds[1].model_validate_json(text)
    assert tuple(plain.value.errors()[0]["loc"]) == full.value.errors()[0]["loc"]


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"parts": []'])
def test_what_is_no_json_is_refused(kinds: tuple[Any, Any], text: str) -> None:
    with pytest.raises(plain_models.ValidationError, match="Invalid JSON"):
        kinds[0].model_validate_json(text)


def test_records_are_frozen(kinds: tuple[Any, Any]) -> None:
    record = kinds[0].model_validate_json(json.dumps(GOOD))
    with pytest.raises(AttributeError, match="frozen"):
        record.share = 1.0
