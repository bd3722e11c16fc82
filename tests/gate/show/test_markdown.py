"""The Markdown of a pull request."""

from __future__ import annotations

import re

import pytest

from modeldyno.base.records.gate import FieldChange, GateWarning, KernelChange
from modeldyno.gate.show.markdown import MARKER, markdown
from modeldyno.reports.text.markdown import MOST_BYTES
from tests.gate.show.samples import ALL, EQUAL, HOSTILE, REGRESSION, metric, poisoned, record


@pytest.mark.parametrize("name", ALL)
def test_the_answer_comes_first_and_parts_are_closed(name: str) -> None:
    text = markdown(ALL[name])
    assert text.startswith(f"{MARKER}\n### {ALL[name].headline}\n".replace("_", "\\_"))
    assert text.count("<details>") == text.count("</details>") >= 1


def test_metrics_are_a_table_and_details_are_folded() -> None:
    text = markdown(REGRESSION)
    assert "| p50 latency | 10.2 ms | 10.8 ms | 6.1 % worse (5.3 to 7.0) | 5 % | **regression** |" in text
    answer, details = text.split("<details>", 1)
    assert "To do: stop what else runs there" in answer
    assert "p50 latency from 2.1 %" in answer
    assert "| `fused_conv2d_add_relu` | 3.10 | 3.60 | 81 % |" in details
    assert "| `toolchain.llvm` | `20.1` | `21.0` |" in details
    assert "dyno gate --baseline main --candidate build/resnet50\n```" in details


def test_each_row_of_a_table_has_its_columns() -> None:
    for text in (markdown(REGRESSION), markdown(poisoned())):
        for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
            bars = [len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()]
            assert len(set(bars)) == 1, block


def test_equal_sides_have_no_table_of_metrics() -> None:
    assert "| metric |" not in markdown(EQUAL)


def test_texts_of_a_record_do_not_become_markup() -> None:
    text = markdown(poisoned())
    outside_of_code = re.sub(r"^(`{3,})\n.*?\n\1$|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)
    assert "<script" not in outside_of_code
    assert not re.search(r"@\w", outside_of_code)
    no_html_lines = re.sub(r"^<details>.*$", "", outside_of_code, flags=re.MULTILINE)
    assert not re.search(r"(?<!\\)\]\(", no_html_lines)
    assert HOSTILE[:5] in text  # in code


@pytest.mark.parametrize("kernels", [100, 1_000, 5_000])
def test_long_details_are_cut_and_the_answer_stays(kernels: int) -> None:
    listed = tuple(
        KernelChange(name=f"fused_{number}_" + "é" * 80, baseline_ms=1.0, candidate_ms=2.0, share=0.001)
        for number in range(kernels)
    )
    text = markdown(record(kernels=listed))
    assert len(text.encode()) <= MOST_BYTES
    assert "**regression**" in text
    assert ("more are in gate.json" in text) is (kernels > 100)


def test_no_record_is_too_long() -> None:
    long = "`|<" * 1_000
    made = record(
        headline=long,
        command=long,
        metrics=tuple(metric(f"p{number}_ms", text=long) for number in range(60)),
        warnings=tuple(GateWarning(rank="note", text=long, advice=long) for _ in range(60)),
        fields=tuple(FieldChange(field=long, baseline=long, candidate=long) for _ in range(60)),
    )
    text = markdown(made)
    assert len(text.encode()) <= MOST_BYTES
    assert text.startswith(MARKER)
    assert len(markdown(made, 3_000).encode()) <= 3_000
