"""What `dyno recommend` writes for other programs and for pull requests."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from modeldyno.base.files import STDOUT
from modeldyno.base.records.run import Limits, Recommendation
from modeldyno.recommender.cli import recommend_command
from modeldyno.recommender.show.as_csv import as_csv, columns
from modeldyno.recommender.show.as_junit import as_junit
from modeldyno.recommender.show.as_markdown import MARKER, as_markdown
from modeldyno.recommender.show.files import ResultFiles, write_files
from modeldyno.reports.text.markdown import MOST_BYTES
from tests.gate.show.junit_schema import outcomes, parsed
from tests.recommender.measured import instance, point, recommended, trial

LATE = {"invalid_reasons": ("requests were sent late",)}
FOUND = recommended(
    [
        trial(point(100.0, 20.0)),
        trial(point(50.0, 50.0), on=instance("c6i.large")),
        trial(point(900.0, 20.0).model_copy(update=LATE), backend="onnxruntime"),
        trial(failure="the server died", threads=2),
    ],
    Limits(p99_ms=40),
)
EMPTY = recommended([], Limits())


def rows(found: Recommendation) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(as_csv(found))))


def test_csv_has_a_row_for_each_candidate_with_all_its_numbers() -> None:
    found = rows(FOUND)
    assert [(row["rank"], row["instance_type"], row["backend"], row["threads"]) for row in found] == [
        ("1", "c5.large", "compiled", "1"),
        ("2", "c5.large", "onnxruntime", "1"),
        ("", "c5.large", "compiled", "2"),
        ("", "c6i.large", "compiled", "1"),
    ]
    assert (found[0]["p99_ms"], found[0]["throughput_rps"], found[0]["usd_per_million"]) == (
        *("20.0", "100.0", "1.0"),
    )
    assert found[0]["tied_with_best"] == "false"
    assert found[1]["invalid_reasons"] == "requests were sent late"
    assert found[2]["reasons"] == "the server died"
    assert found[2]["p99_ms"] == ""
    assert tuple(found[0]) == columns()


def test_csv_keeps_texts_with_commas_and_lines_in_one_cell() -> None:
    odd = 'it said "no", then\nnothing'
    assert rows(recommended([trial(failure=odd)], Limits()))[0]["reasons"] == odd


def test_csv_without_candidates_is_its_header() -> None:
    assert as_csv(EMPTY) == ",".join(columns()) + "\n"


def test_junit_has_a_case_for_each_candidate() -> None:
    assert outcomes(as_junit(FOUND)) == {
        "c5.large compiled 1x1": "passed",
        "c5.large onnxruntime 1x1": "error",
        "c5.large compiled 2x1": "error",
        "c6i.large compiled 1x1": "failure",
    }
    failure = parsed(as_junit(FOUND)).find(".//failure")
    assert failure is not None
    assert failure.attrib == {"message": "p99 50.0 ms > 40 ms at 4 users", "type": "limit"}


def test_what_is_not_decided_is_skipped() -> None:
    row = FOUND.rejected[-1].model_copy(update={"undecided": "too few samples"})
    made = FOUND.model_copy(update={"ranking": (), "rejected": (row,)})
    assert outcomes(as_junit(made)) == {"c6i.large compiled 1x1": "skipped"}


def test_markdown_says_the_answer_then_the_table_then_what_was_rejected() -> None:
    text = as_markdown(FOUND)
    assert text.startswith(f"{MARKER}\n### Run it on c5.large with the compiled model: $1.00 per million")
    table, rejected = text.split("<details>", 1)
    assert "| 1 | c5.large | compiled | 1x1 | 4 users | 10.0 | 20.0 | 100 | 0.36 | 1.00 | emulated |" in table
    assert "| 2 (void) |" in table
    assert "| c6i.large compiled 1x1 | p99 50.0 ms &gt; 40 ms at 4 users | 0 % |" in rejected
    assert text.count("<details>") == text.count("</details>")


def test_markdown_of_nothing_says_so() -> None:
    assert "Nothing was measured" in as_markdown(EMPTY)
    assert outcomes(as_junit(EMPTY)) == {}


def test_markdown_of_many_candidates_stays_short() -> None:
    many = [trial(point(100.0, 20.0 + n / 1000), on=instance(f"m{n}.large")) for n in range(900)]
    lost = [trial(failure="x" * 3000, on=instance(f"n{n}.large")) for n in range(300)]
    text = as_markdown(recommended([*many, *lost], Limits()))
    assert len(text.encode()) <= MOST_BYTES
    assert "more are in recommendation.json" in text


def test_files_are_written_where_they_are_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files(FOUND, ResultFiles(junit=tmp_path / "a" / "j.xml", markdown=STDOUT))
    assert (tmp_path / "a" / "j.xml").read_text() == as_junit(FOUND)
    assert capsys.readouterr().out == as_markdown(FOUND)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["j.xml"]


def test_one_result_at_most_is_printed(tmp_path: Path) -> None:
    assert not ResultFiles(csv=tmp_path / "x").printed(as_json=True)
    assert ResultFiles(csv=STDOUT).printed()
    with pytest.raises(click.UsageError, match="only one result"):
        ResultFiles(csv=STDOUT).printed(as_json=True)
    command = ["no.onnx", "-o", str(tmp_path / "run"), "--csv", "-", "--markdown", "-"]
    done = CliRunner().invoke(recommend_command, command)
    assert done.exit_code == 2
    assert "only one result can go to standard output" in done.output
