"""docs/job.md: its tables are those of the code, its examples are jobs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from modeldyno.recommender.job.job import load_job
from modeldyno.recommender.job.reference import SECTIONS, value_words, with_reference
from modeldyno.recommender.search.full_product import FullProduct
from tests.recommender.test_plan import HOST

PAGE = Path(__file__).parents[2] / "docs" / "job.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_tables_are_those_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_reference(page) == page, (
        "write it again: python -m modeldyno.recommender.job.reference docs/job.md"
    )


def test_every_field_has_a_description() -> None:
    missing = [
        f"{name}.{field}"
        for name, kind in SECTIONS
        for field, info in kind.model_fields.items()
        if not info.description
    ]
    assert missing == []


def test_types_and_bounds_are_worded() -> None:
    fields = {name: kind.model_fields for name, kind in SECTIONS}
    threads, rate = fields["candidates"]["threads"], fields["load"]["rate_rps"]
    assert value_words(threads) == "list of: whole number, above 0, at most 1,024 or `auto`"
    assert value_words(rate) == "list of: number, above 0"


def test_there_are_three_examples() -> None:
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, lambda job: [level["users"] for level in job.load.levels()] == [1, 2, 4, 8]),
        (1, lambda job: job.shape["image"] == ("1..32", 3, 224, 224) and job.load.find_rate is not None),
        (2, lambda job: sorted(job.load.payload.values()) == [1, 3] and job.server.max_waiting == 16),
    ],
)
def test_an_example_is_a_job_that_can_be_planned(tmp_path: Path, number: int, said: object) -> None:
    for name in ("small", "large"):
        (tmp_path / "samples" / name).mkdir(parents=True)
    path = tmp_path / "job.yaml"
    path.write_text(EXAMPLES[number])
    job = load_job(path)
    assert callable(said)
    assert said(job)
    assert FullProduct().plan(job, ("onnxruntime", "compiled"), HOST)
