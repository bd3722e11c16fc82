"""What stands on the console."""

from __future__ import annotations

import json

import pytest

from modeldyno.base.records.gate import GateRecord
from modeldyno.gate.show.console import lines, print_gate
from tests.gate.show.samples import ALL, EQUAL, IMPROVEMENT, NOISY, REGRESSION, VOID, poisoned, record


@pytest.mark.parametrize("name", ALL)
def test_the_answer_is_the_first_line(name: str) -> None:
    assert lines(ALL[name])[0] == ALL[name].headline


def test_a_regression_says_what_causes_it_how_sure_it_is_and_how_to_repeat_it() -> None:
    assert lines(REGRESSION)[1:] == [
        "  p50 latency    regression  slower by 6.1 % (5.3 to 7.0), over the limit of 5 % "
        "[10.2 ms -> 10.8 ms]",
        "  throughput     pass        fewer by 3.1 % (2.2 to 4.0), under the limit of 5 % "
        "[96.0 requests/s -> 93.0 requests/s]",
        "  artifact size  pass        code and weights: 102.760 MB on both sides; shown, not limited "
        "[102.76 MB -> 102.76 MB]",
        "  81 % of it: kernel fused_conv2d_add_relu, 3.10 -> 3.60 ms",
        "  16 % of it: kernel fused_dense, new, 0.100 ms",
        "  differs: toolchain.llvm: 20.1 -> 21.0",
        "weak: 8 of 104 pairs lost a block to other work on CPU 0. To do: stop what else runs there, or name "
        "another CPU with --cpus",
        "Both sides ran in turns: 96 pairs (4 more dropped: the machine did something else), 2 starts of "
        "each, 31s in all.",
        "A run like this one finds these regressions 4 times out of 5: p50 latency from 2.1 %, throughput "
        "from 2.1 %.",
        "again: dyno gate --baseline main --candidate build/resnet50",
    ]


def test_no_more_than_three_warnings_stand_there_the_weightiest_first() -> None:
    told = [line for line in lines(VOID) if line.startswith(("void", "weak", "note", "and "))]
    assert [line.split(":")[0] for line in told] == [
        "void",
        "weak",
        "weak",
        "and 1 more of less weight",
    ]
    assert told[0] == "void: requests were sent late. To do: leave the generator a core of its own"


def test_answers_that_differ_are_said_before_any_metric() -> None:
    outputs = {"bodies": 8, "same": False, "text": "0.2 relative, of `logits`"}
    made = GateRecord.model_validate(REGRESSION.model_dump() | {"outputs": outputs})
    assert lines(made)[1] == "The answers differ: 0.2 relative, of `logits`"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_the_screen(width: int) -> None:
    made = record(warnings=(NOISY,))
    assert max(map(len, lines(made, width))) <= width
    # Broken at blanks alone: the words stay.
    assert " ".join(" ".join(lines(made, width)).split()) == " ".join(" ".join(lines(made)).split())


def test_where_nothing_was_measured_nothing_is_said_of_what_it_would_have_found() -> None:
    assert lines(EQUAL)[1:] == [
        "Nothing was measured; 0.4s.",
        "again: dyno gate --baseline main --candidate build/resnet50",
    ]


def test_causes_are_named_for_what_got_slower_alone() -> None:
    made = IMPROVEMENT.model_copy(update={"fields": REGRESSION.fields})
    assert not any("differs" in line for line in lines(made))


def test_no_terminal_gets_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_gate(REGRESSION)
    assert capsys.readouterr().out == "\n".join(lines(REGRESSION)) + "\n"


def test_json_is_the_record(capsys: pytest.CaptureFixture[str]) -> None:
    print_gate(REGRESSION, as_json=True)
    assert GateRecord.model_validate(json.loads(capsys.readouterr().out)) == REGRESSION


def test_a_record_can_not_steer_the_terminal() -> None:
    assert all(line.isprintable() for line in lines(poisoned()))
