"""The fast road and the general parser say the same of every body; the fast road is taken where it can be."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from modeldyno.base.errors import RequestError
from modeldyno.base.records.record import TensorSpec
from modeldyno.serving.protocols.oip import datatype, read_infer
from modeldyno.serving.wire import tensor_json
from modeldyno.serving.wire.answer import JSON
from modeldyno.serving.wire.contents import decode, encode
from modeldyno.serving.wire.tensor_json import Numbers, read_json

DTYPES = ("float32", "float64", "float16", "int64", "int32", "int8", "uint64", "uint8", "bool")
ODD = [
    "-0",
    "-0.0",
    "1e400",
    "-1E+400",
    "1e39",
    "3.4028235677973366e38",
    "65520",
    "65519.9",
    "1e-46",
    "5e-324",
]
ODD += ["127", "128", "-129", "255", "256", "-1", "2147483648", "9223372036854775807", "9223372036854775808"]
ODD += ["-9223372036854775808", "-9223372036854775809", "18446744073709551615", "18446744073709551616"]
ODD += [
    "9007199254740993",
    "1" + "0" * 400,
    "0." + "3" * 800,
    "1.0",
    "1e2",
    "01",
    "+1",
    "1.",
    ".5",
    "- 1",
    "",
]
ODD += [
    "true",
    "null",
    "NaN",
    "-Infinity",
    '"a"',
    '"\\u0000"',
    "{}",
    "[]",
    "[1]",
    "\u0663",
    "0x1",
    "1 2",
    "\t1\n",
]
NUMBERS = st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.integers().map(str)
SMALL = st.integers(0, 100).map(str)
TEXTS = st.one_of(SMALL, SMALL, st.sampled_from(["true", "false"]), NUMBERS, st.sampled_from(ODD))
DAMAGE = st.text(alphabet='[]{},:" \\\t0-.eEn\u00fc', max_size=3)
FORMS = (
    '{"inputs": %s}',
    ' {"inputs" :{"x":%s}}\n',
    '{"inputs": {"x": %s, "x": %s}}',
    '{"inputs": {"x": %s, "y": %s}}',
    '{"inputs": %s, "more": %s}',
    '{"inputs": {"\\u0078": %s}}',
)
INFER_FORMS = (
    '{"inputs": [{"name": "x", "shape": %s, "datatype": "%s", "data": %s}]}',
    '{"inputs": [{"data": [1, 2], "name": "x", "shape": %s, "datatype": "%s", "data": %s}], "id": "[1]"}',
    '{"inputs": [{"name": "x", "shape": %s, "datatype": "%s", "data": %s, "junk": [1, 02]}]}',
    '{"inputs": [{"name": "x", "shape": %s, "datatype": "%s", "parameters": {"p": [1]}, "data": %s}]}',
    '{"outputs": [3, 4], "inputs": [{"name": "x", "shape": %s, "datatype": "%s", "data": %s}]}',
)


def nested(shape: tuple[int, ...], texts: list[str]) -> str:
    """Write texts as nested lists, taking each from the front of the list."""
    if not shape:
        return texts.pop(0)
    return "[" + ", ".join(nested(shape[1:], texts) for _ in range(shape[0])) + "]"


@st.composite
def tensors(draw: st.DrawFn, shape: tuple[int, ...]) -> str:
    """Lists of numbers in this shape, now and then with something odd in them or with damage."""
    size = int(np.prod(shape))
    common = draw(st.sampled_from([SMALL, NUMBERS, TEXTS]))
    text = nested(shape, draw(st.lists(common, min_size=size, max_size=size)))
    if draw(st.integers(0, 3)) == 0:
        start = draw(st.integers(0, len(text)))
        text = text[:start] + draw(DAMAGE) + text[start + draw(st.integers(0, 3)) :]
    return text


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, list[TensorSpec], str]:
    """A body for each protocol, and what the model takes."""
    shape = draw(st.lists(st.integers(0, 3), max_size=3).map(tuple))
    dtype = draw(st.sampled_from(DTYPES))
    sizes = tuple(draw(st.sampled_from([size, size, None])) for size in shape)
    form = draw(st.sampled_from(FORMS))
    body = form % tuple(draw(tensors(shape)) for _ in range(form.count("%s")))
    flat = draw(st.booleans())
    data = draw(tensors((int(np.prod(shape)),) if flat else shape))
    infer = draw(st.sampled_from(INFER_FORMS)) % (list(shape), datatype(dtype), data)
    specs = [TensorSpec(name=name, dtype=dtype, shape=sizes) for name in ("x", "y")]
    return body, specs[: 1 + ('"y"' in body)], infer


def found(act: Callable[[], dict[str, np.ndarray]], *, large: int) -> object:
    """Say what came of it to the last bit, with only arrays past `large` bytes on the fast road."""
    with patch.object(tensor_json, "_LARGE", large):
        try:
            feeds = act()
        except RequestError as error:
            return str(error), error.status
    for array in feeds.values():
        assert array.flags.c_contiguous
        assert array.flags.aligned
    return {name: (array.dtype, array.shape, array.tobytes()) for name, array in feeds.items()}


def same_on_both_roads(act: Callable[[], dict[str, np.ndarray]]) -> object:
    fast, general = found(act, large=2), found(act, large=2**40)
    assert fast == general
    return fast


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(made=cases())
@example(made=('{"inputs": [[1, 2], []]}', [TensorSpec(name="x", dtype="int64", shape=(2,))], "[]"))
@example(made=('{"inputs": [[1, 2], [3]]}', [TensorSpec(name="x", dtype="int64", shape=(2, 2))], "[]"))
@example(made=('{"inputs": [[[1, 2]], [3, 4]]}', [TensorSpec(name="x", dtype="int64", shape=(2, 2))], "[]"))
@example(made=("{[1, 2]: [3, 4]}", [TensorSpec(name="x", dtype="int64", shape=(2,))], "[]"))
def test_both_roads_give_the_same_bits_or_the_same_refusal(made: tuple[str, list[TensorSpec], str]) -> None:
    body, specs, infer = made
    same_on_both_roads(lambda: decode(body.encode(), JSON, specs))
    same_on_both_roads(lambda: read_infer(infer.encode(), {}, specs, specs, "m").feeds)


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("dtype", DTYPES)
def test_both_roads_say_the_same_of_every_odd_number(dtype: str, text: str) -> None:
    spec = TensorSpec(name="x", dtype=dtype, shape=(3,))
    same_on_both_roads(lambda: decode(f'{{"inputs": [1, {text}, 0]}}'.encode(), JSON, [spec]))


def roads(body: bytes, spec: TensorSpec) -> list[type]:
    """Read x of a body; say what stood in its place each time it was looked at."""
    seen: list[type] = []

    def use(document: Any) -> np.ndarray:
        inputs = document["inputs"]
        value = inputs["x"] if isinstance(inputs, dict) else inputs[0]["data"]
        seen.append(type(value))
        return value.read(spec) if isinstance(value, Numbers) else np.array(value)

    read_json(body, "the body", use)
    return seen


@pytest.mark.parametrize("dtype", DTYPES[:-1])
@pytest.mark.parametrize("shape", [(1200,), (1, 1200), (3, 20, 20), (1200, 1)])
def test_large_tensors_take_the_fast_road_alone(dtype: str, shape: tuple[int, ...]) -> None:
    x = (np.arange(1200).reshape(shape) % 100).astype(dtype)
    spec = TensorSpec(name="x", dtype=dtype, shape=shape)
    body = json.dumps({"inputs": {"x": x.tolist()}}).encode()
    entry, data = {"name": "x", "shape": shape, "datatype": datatype(dtype)}, {"data": x.tolist()}
    first = json.dumps({"inputs": [{**data, **entry}], "outputs": []}).encode()
    last = json.dumps({"id": "1", "inputs": [{**entry, **data}]}).encode()
    assert [roads(one, spec) for one in (body, first, last)] == [[Numbers]] * 3
    same_on_both_roads(partial(decode, body, JSON, [spec]))


@pytest.mark.parametrize(
    "body",
    [
        '{"inputs": {"x": LONG, "y\\n": 0}}',  # an escape
        '{"inputs": {"x": LONG, "y": LONG}}',  # y is not read, and so not known to be JSON
        '{"inputs": {"x": LONG, "x": LONG}}',
        '{"inputs": {"x": LONG' + ', "y": 0' * 300 + "}}",
    ],
)
def test_what_is_not_plain_is_read_again_by_the_general_parser(body: str) -> None:
    text = body.replace("LONG", str([1.5] * 1000)).encode()
    assert roads(text, TensorSpec(name="x", dtype="float32", shape=(1000,)))[-1] is list


def test_several_tensors_and_small_values_beside_them_are_all_found() -> None:
    a, b = np.arange(2000.0), np.arange(6000).reshape(2, 3000)
    specs = [
        TensorSpec(name="a", dtype="float64", shape=(None,)),
        TensorSpec(name="b", dtype="int64", shape=(None, None)),
        TensorSpec(name="c", dtype="bool", shape=(1,)),
    ]
    body = json.dumps({"inputs": {"b": b.tolist(), "c": [True], "a": a.tolist()}}).encode()
    feeds = decode(body, JSON, specs)
    np.testing.assert_array_equal(feeds["a"], a)
    np.testing.assert_array_equal(feeds["b"], b)
    assert feeds["c"].tolist() == [True]


FLOATS = np.array([0, 0.1, 1e-45, 3.4028235e38, -0.0, 16777216, 1e16, 1 / 3], np.float32)
FLOATS.view(np.uint32)[0] = 0x95AE43FD  # its shortest digits, read as a double first, round to its neighbour


@pytest.mark.parametrize("array", [FLOATS, FLOATS[1:], FLOATS.reshape(2, 4).T, FLOATS[0]])
def test_digits_of_answers_read_back_as_the_same_float32_by_way_of_doubles(array: np.ndarray) -> None:
    body, _ = encode({"y": array}, JSON, JSON, [TensorSpec(name="y", dtype="float32", shape=array.shape)])
    doubles = np.array(json.loads(body)["outputs"]["y"], np.float64)
    assert doubles.astype(np.float32).tobytes() == array.tobytes()


@settings(max_examples=200, deadline=None)
@given(
    bits=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20),
    dtype=st.sampled_from(["float64", "float16", "float32", "int64", "uint64", "int8", "uint16"]),
)
def test_every_number_survives_an_answer_and_a_request(bits: list[int], dtype: str) -> None:
    array = np.array(bits, np.uint64).view(dtype)
    array = array[np.isfinite(array)]
    spec = TensorSpec(name="x", dtype=dtype, shape=(None,))
    body, _ = encode({"x": array}, JSON, JSON, [spec])
    request = body.replace(b"outputs", b"inputs")
    assert decode(request, JSON, [spec])["x"].tobytes() == array.tobytes()
