"""Which answers count: statuses, values in JSON, text; and answers that lead elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from modeldyno.base.errors import ConfigError, UnansweredError
from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.cli import load_command
from modeldyno.loadgen.run import run_load
from modeldyno.loadgen.spec.expected import expected_of, parse_value
from tests.loadgen.stub import PAYLOAD, Running, stub_server
from tests.loadgen.test_cli import dyno_load

DOCUMENT = b'{"label": "cat", "outputs": {"y": [[0.25, 1], [2, 3]]}, "a.b": {"ok": true}, "none": null}'


def load(server: Running, **fields: Any) -> LoadResult:
    spec = {"url": server.url, "users": 1, "warmup_s": 0, "duration_s": 0.5, **fields}
    return run_load(LoadSpec.model_validate(spec), PAYLOAD)


def fault(*expected: str, body: bytes = DOCUMENT) -> str:
    spec = LoadSpec(url="http://h/", users=1, expect_json=expected)
    failure = expected_of(spec).failure(200, body)
    return failure.message if failure else ""


@pytest.mark.parametrize(
    "text",
    [
        "label=cat",
        'label="cat"',
        "outputs.y[0][1]=1",
        "$.outputs.y[0][1]=1.0000001",
        "outputs.y=[[0.25,1],[2,3]]",
        '["a.b"].ok=true',
        "none=null",
        "outputs",
        'outputs={"y":[[0.25,1],[2,3]]}',
    ],
)
def test_a_value_that_is_there_is_found(text: str) -> None:
    assert fault(text) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("label=dog", 'expected label=dog in the JSON, found "cat"'),
        ("outputs.y[0][1]=1.1", "expected outputs.y[0][1]=1.1 in the JSON, found 1"),
        ("outputs.y[2]", "expected outputs.y[2] in the JSON: there is no such place"),
        ("label.x", "there is no such place"),
        ('["a.b"].ok=1', "found true"),
        ("outputs.y=[[0.25,1]]", "found [[0.25,1],[2,3]]"),
    ],
)
def test_a_value_that_is_not_there_is_told_with_what_is(text: str, words: str) -> None:
    assert words in fault("label=cat", text)


def test_an_answer_that_is_no_json_is_told() -> None:
    assert "expected JSON, found '<html>'" in fault("label", body=b"<html>")


@pytest.mark.parametrize("text", ["", "=1", "a..b=1", "a[x]=1", "a[0", "a]"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected PATH=VALUE"):
        parse_value(text)


def test_answers_with_another_content_are_errors_of_their_own_kind(tmp_path: Path) -> None:
    with stub_server(tmp_path, "--body", '{"label": "cat"}', "--cycle", "ok,ok,fail") as server:
        good = load(server, expect_json=("label=cat",), expect_body='{"label"')
        with pytest.raises(UnansweredError, match='expected label=dog in the JSON, found "cat"'):
            load(server, expect_json=("label=dog",))
        mixed = load(server, expect_status=(500,))
    assert good.samples > 0
    assert {one.outcome for one in good.outcomes} == {"200", "500"}
    # What was asked for is a success; a status that was not asked for is an error, if it is 200.
    assert mixed.samples > 0
    assert [group.status for group in mixed.error_groups] == [200]


def test_an_unexpected_body_is_counted_beside_good_answers(tmp_path: Path) -> None:
    with stub_server(tmp_path, "--cycle", "ok,reject") as server:
        found = load(server, expect_status=(200, 400), expect_body="0123")
    assert {one.outcome: one.status for one in found.outcomes} == {"200": 200, "unexpected": 400}
    assert found.error_groups[0].message == "expected '0123' in the body, found 'this is a reject'"


def test_a_redirect_is_named_with_its_location_and_followed_when_asked(tmp_path: Path) -> None:
    with stub_server(tmp_path, "--cycle", "move", "--location", "/elsewhere") as server:
        target = server.url.replace("/invocations", "/elsewhere")
        with pytest.raises(UnansweredError, match=f"HTTP 307: it leads to {target}: load that URL"):
            load(server)
        found = load(server, follow_redirects=True, expect_body="elsewhere")
    assert found.errors == 0
    assert found.samples > 0


def test_a_redirect_to_another_server_keeps_both_connections(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with (
        stub_server(tmp_path / "other", "--body", "of the other") as other,
        stub_server(tmp_path, "--cycle", "move", "--location", other.url) as server,
    ):
        found = load(server, follow_redirects=True, expect_body="of the other")
    assert (found.errors, found.samples > 0) == (0, True)


@pytest.mark.parametrize(
    ("cycle", "location", "words"),
    [
        ("move", "/invocations", "after 5 redirects"),
        ("move", "ftp://h/x", "which is no http or https URL"),
        ("see", "/elsewhere", "is to be got by GET"),
    ],
)
def test_a_redirect_that_leads_nowhere_is_an_error(
    tmp_path: Path, cycle: str, location: str, words: str
) -> None:
    with (
        stub_server(tmp_path, "--cycle", cycle, "--location", location) as server,
        pytest.raises(UnansweredError, match=words),
    ):
        load(server, follow_redirects=True)


def test_terminal_codes_of_a_server_are_printed_harmless(tmp_path: Path) -> None:
    body = r"\x1b]0;owned\x07\x1b[2J\nlimits      MET\r\u009b31m"
    shown = r"\u001b]0;owned\u0007\u001b[2J\nlimits      MET\u000d\u009b31m"
    (tmp_path / "body.bin").write_bytes(b"1234")
    few = ("--payload", str(tmp_path / "body.bin"), "--warmup", "0", "--duration", "0.5")
    with stub_server(tmp_path, "--cycle", "ok,fail", "--body", body) as server:
        nothing = dyno_load(server.url, *few, "--expect-status", "201")
        half = dyno_load(server.url, *few, "--expect-status", "500")
        as_json = dyno_load(server.url, *few, "--expect-status", "500", "--json")
    assert shown in nothing.stderr
    assert f"HTTP 200: {shown}" in half.stdout
    assert "\nlimits      MET" not in half.stdout
    for each in (nothing, half, as_json):
        assert not set("\x1b\x07\x9b\r") & set(each.stdout + each.stderr)
    said = LoadResult.model_validate_json(as_json.stdout).error_groups[0].message
    assert said == "\x1b]0;owned\x07\x1b[2J\nlimits      MET\r\x9b31m"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--rate", "1e9"), "not in the range 0<x<=1000000"),
        (("--users", "10000000"), "not in the range 1<=x<=10000"),
        (("--duration", "1e9"), "not in the range 0<x<=86400"),
        (("--warmup", "1e9"), "not in the range 0<=x<=86400"),
        (("--timeout", "1e9"), "not in the range 0<x<=3600"),
        (("--min-samples", "1000000000000"), "not in the range 0<=x<=100000000"),
        (("--rate", "1e5", "--duration", "80000"), "100000 requests a second over 80002 s are 8e+09"),
        (("--phases", "1:60000:3600"), "users must be from 1 to 10000"),
        (("--stairs", "steps=1000,users=1,seconds=80000"), "a load test lasts at most 86400 s"),
        (("--expect-status", "20"), "expected HTTP statuses"),
        (("--expect-json", "=1"), "expected PATH=VALUE"),
    ],
)
def test_numbers_beyond_sense_are_refused_before_anything_is_asked(
    given: tuple[str, ...], words: str
) -> None:
    found = CliRunner().invoke(load_command, ["http://127.0.0.1:9", *given])
    assert found.exit_code != 0
    assert words in f"{found.output} {found.exception}"
