"""Folders in the shape of SageMaker's toolkit, behind a real server process and without one."""

from __future__ import annotations

import gzip
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from modeldyno.base.errors import ModelError, RequestError
from modeldyno.serving.models import user_defaults
from modeldyno.serving.models.files import model_kind
from modeldyno.serving.models.user_code import CodeSource
from modeldyno.serving.wire.answer import Answer
from tests.serving import models
from tests.serving.helpers import JSON, NPY, Server, from_npy, npy, serving, start

X = np.eye(4, dtype=np.float32)[:2]

FOUR_FUNCTIONS = """
    import json, os
    import words  # a module beside the script

    def model_fn(model_dir):
        with open(os.path.join(model_dir, "weights.txt")) as stream:
            return float(stream.read())

    def input_fn(request_body, request_content_type):
        if request_content_type != "application/json":
            raise Unsupported(request_content_type)
        assert isinstance(request_body, str)
        return json.loads(request_body)["words"]

    def predict_fn(input_object, model, context):
        assert os.path.exists(context.system_properties["model_dir"])
        if input_object == "leave":
            raise SystemExit(3)
        return [len(words.clean(word)) * model for word in input_object]

    def output_fn(prediction, accept):
        return ";".join(map(str, prediction)), "text/plain"

    class Unsupported(Exception):
        status_code = 415
        message = "only JSON, please"
"""


def folder_of(path: Path, script: str, name: str = "inference.py") -> Path:
    target = path / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(textwrap.dedent(script))
    return path


def invoke(folder: Path, body: bytes, content_type: str = "", accept: str = "") -> Answer:
    headers = {b"content-type": content_type.encode(), b"accept": accept.encode()}
    model = CodeSource(folder, 1).loader()()
    call = model.read(headers, body, 2**20)
    return call.answer(model.run(call.feeds))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = folder_of(tmp_path_factory.mktemp("m") / "served", FOUR_FUNCTIONS, "code/inference.py")
    (folder / "weights.txt").write_text("0.5")
    (folder / "code" / "words.py").write_text("def clean(word):\n    return word.strip()\n")
    with serving(folder, folder.parent, "--workers", "2") as running:
        yield running


def test_the_four_functions_answer_a_request(server: Server) -> None:
    body = json.dumps({"words": ["one ", "three"]}).encode()
    reply = server.infer(body, JSON)
    assert (reply.status, reply.headers["content-type"], reply.body) == (200, "text/plain", b"1.5;2.5")
    assert server.infer(gzip.compress(body), JSON, content_encoding="gzip").body == b"1.5;2.5"
    assert "dyno_inference_seconds_count 2.0" in server.ask("GET", "/metrics").body.decode()


def test_an_error_keeps_its_status_and_any_other_is_a_logged_500(server: Server) -> None:
    reply = server.infer(b"1,2", "text/csv")
    assert (reply.status, reply.error) == (415, "only JSON, please")
    reply = server.infer(b"{}", JSON)
    assert (reply.status, reply.error) == (500, "this request made the server fail: KeyError: 'words'")
    assert 'json.loads(request_body)["words"]' in server.child.log.read_text()
    reply = server.infer(b'{"words": "leave"}', JSON)
    assert (reply.status, "the user code called sys.exit(3)" in reply.error) == (500, True)
    assert server.infer(b'{"words": []}', JSON).status == 200


def test_tensors_are_told_where_to_go(server: Server) -> None:
    reply = server.ask("POST", "/v2/models/model/infer", b'{"inputs": []}')
    assert (reply.status, "POST /invocations" in reply.error) == (400, True)
    assert server.ask("GET", "/v2/health/ready").status == 200


def test_a_script_that_fails_is_one_message_with_its_own_traceback(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "bad", "def model_fn(folder):\n    return {}['weights']\n")
    child = start(folder, tmp_path)
    assert child.process.wait(60) == 2
    error = child.log.read_text().partition("error: ")[2]
    assert error.startswith(f"{folder}: model_fn failed: KeyError: 'weights'\n")
    assert "inference.py\", line 2, in model_fn\n    return {}['weights']" in error
    assert "serving" not in error


def test_a_model_in_the_folder_needs_no_model_fn(tmp_path: Path) -> None:
    script = """
        def input_fn(body, content_type):
            return {"x": [[float(number) for number in body.split(",")]]}

        def output_fn(prediction, accept):
            return str(prediction["y"].tolist())
    """
    folder = folder_of(tmp_path, script)
    models.matmul(folder / "m.onnx")
    assert invoke(folder, b"0,0,1,0", "text/csv", "text/plain") == Answer(
        200, b"[[0.75, 0.875, 1.0]]", "text/plain"
    )


def test_a_script_without_functions_serves_the_model_with_the_defaults(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "")
    models.matmul(folder / "m.onnx")
    answer = invoke(folder, npy(X), NPY)
    assert (answer.content_type, json.loads(answer.body)) == (JSON, {"y": models.WEIGHTS[:2].tolist()})
    assert json.loads(invoke(folder, b"1,0,0,0\n0,1,0,0", "text/csv").body) == json.loads(answer.body)
    assert invoke(folder, json.dumps(X.tolist()).encode()).body == answer.body  # no type at all is JSON


def test_transform_fn_stands_for_all_three(tmp_path: Path) -> None:
    script = """
        def model_fn(folder):
            return 2

        def transform_fn(model, body, content_type, accept):
            return body * model, content_type
    """
    assert invoke(folder_of(tmp_path, script), b"ab", "x/y").body == b"abab"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            "def transform_fn(a, b, c, d): ...\ndef predict_fn(a, b): ...",
            "has transform_fn beside predict_fn",
        ),
        ("def input_fn(body): ...", "input_fn takes 1 arguments, expected 2, or one more for the context"),
        ("import no_such_module_here", "No module named 'no_such_module_here'"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", "inference.py failed: SystemExit: 3"),
        ("", r"has no model_fn, and the folder holds 0 .onnx files and no artifact"),
    ],
)
def test_a_script_that_can_not_be_served_is_told_why(tmp_path: Path, script: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        CodeSource(folder_of(tmp_path, script), 1).loader()()


def test_code_beside_the_model_wins_over_a_script_at_the_top(tmp_path: Path) -> None:
    folder_of(tmp_path, "def model_fn(folder): return 'top'")
    folder_of(tmp_path, "def model_fn(folder): return lambda data: 'code'", "code/inference.py")
    assert model_kind(tmp_path) == "code"
    assert invoke(tmp_path, b"1").body == b'"code"'


def test_the_default_output_writes_arrays_in_json_npy_and_csv() -> None:
    array = np.array([[1.0, 2.5]])
    assert user_defaults.output_fn({"a": array, "n": np.int64(3)}, "")[0] == b'{"a":[[1.0,2.5]],"n":3}'
    np.testing.assert_array_equal(from_npy(user_defaults.output_fn(array, NPY)[0]), array)
    assert user_defaults.output_fn(array, "text/html, text/csv")[1] == "text/csv"
    with pytest.raises(TypeError, match="define output_fn for object"):
        user_defaults.output_fn({"a": object()}, JSON)


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", JSON, 400),
        (b"a,b", "text/csv", 400),
        (npy(X)[:-1], NPY, 400),
        (npy(X).replace(b"(2, 4)", b"(-2,-4)"), NPY, 400),
        (npy(X).replace(b"(2, 4)", b"(9**9,)"), NPY, 400),
        (b"\xff", "text/csv", 400),
        (b"", "image/png", 415),
    ],
)
def test_the_default_input_refuses_what_it_can_not_read(body: bytes, content_type: str, status: int) -> None:
    with pytest.raises(RequestError) as error:
        user_defaults.input_fn(body, content_type)
    assert error.value.status == status


NOT_JSON = {
    "default": ("{'p': [0.5, {'q': float('nan')}]}", "", "NaN at $['p'][1]['q']"),
    "scalar": ("np.float32('-inf')", "", "-Infinity at $,"),
    "array": ("{'a': np.array([[1, 2], [3, np.inf]])}", "", "Infinity at $['a'][1][1]"),
    "own text": ("[1, float('nan')]", "def output_fn(p, accept): return json.dumps(p)", "NaN at $[1]"),
    "own type": (
        "[float('nan')]",
        "def output_fn(p, accept): return json.dumps(p).encode(), 'application/vnd.own+json; v=1'",
        "NaN at $[0]",
    ),
}


@pytest.mark.parametrize("kind", NOT_JSON)
def test_numbers_that_json_can_not_say_are_refused_with_their_place(tmp_path: Path, kind: str) -> None:
    value, output_fn, words = NOT_JSON[kind]
    script = (
        f"import json\nimport numpy as np\ndef model_fn(d): return 0\ndef predict_fn(x, m): return {value}\n"
    )
    folder = folder_of(tmp_path, script + output_fn)
    for accept in ("", "application/json, text/plain, */*"):
        with pytest.raises(RequestError, match=re.escape(words)) as error:
            invoke(folder, b"1", accept=accept)
        assert error.value.status == 406


def test_words_that_look_like_constants_and_other_types_pass(tmp_path: Path) -> None:
    value = "{'NaN': 'Infinity', 'large': [1e308]}"
    folder = folder_of(tmp_path, f"def model_fn(d): return 0\ndef predict_fn(x, m): return {value}\n")
    assert json.loads(invoke(folder, b"1").body) == {"NaN": "Infinity", "large": [1e308]}
    nan = folder_of(
        tmp_path / "n", "def model_fn(d): return 0\ndef predict_fn(x, m): return [float('nan')]\n"
    )
    assert np.isnan(from_npy(invoke(nan, b"1", accept=NPY).body)).all()
    assert invoke(nan, b"1", accept="text/csv").body == b"nan\n"


@pytest.mark.parametrize("kind", ["None", "'text/plain\\r\\nX-A: b'"])
def test_a_content_type_that_is_no_line_of_text_is_the_user_codes_fault(tmp_path: Path, kind: str) -> None:
    script = "def model_fn(d): return 0\ndef predict_fn(x, m): return 1\ndef output_fn(p, a): return '1', "
    with pytest.raises(TypeError, match="expected text of one line"):
        invoke(folder_of(tmp_path, f"{script}{kind}\n"), b"1")


def test_codes_for_a_terminal_do_not_reach_the_log(tmp_path: Path) -> None:
    (tmp_path / "inference.py").write_text(
        "def model_fn(folder): return None\ndef predict_fn(data, model): raise ValueError(data)\n"
    )
    with serving(tmp_path, tmp_path) as server:
        assert server.infer(b'"\\u001b[2Jhidden"', JSON).status == 500
        log = server.child.log.read_text()
    assert r"\u001b[2Jhidden" in log
    assert "\x1b" not in log
