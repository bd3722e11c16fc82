"""JSON with large tensors in it, read and written without a Python object for each number.

A long array of numbers is cut out of the text, so that a short document is left for the general parser, and
is read by simdjson into plain doubles or integers of 64 bits. This reader has to be right only about what it
accepts: whatever it does not take as it is (ragged lists, a null, a number out of range, an escape in a name,
an array that nobody asked for) sends the request to the general parser, which accepts it or words the error.

Each array has a parser of its own: threads share none, and a large body's memory is not kept. A parser holds
the interpreter's lock while it works, 0.9 ms for a MB of digits; the general one holds it twice as long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate, chain
from operator import mul
from typing import Any, Literal, TypeVar

import numpy as np
import orjson
import simdjson
from pydantic_core import from_json  # 5 to 10 times faster than json here; pydantic always brings it

from modeldyno.base.errors import RequestError
from modeldyno.base.records.record import TensorSpec
from modeldyno.base.units import BYTES_PER_MIB
from modeldyno.serving.wire.bounds import alone, check_json, check_lists

T = TypeVar("T")
_LARGE = 2048  # bytes of digits; with less, cutting takes longer than it saves
_LARGEST = 32 * BYTES_PER_MIB  # simdjson takes 32 bytes for a number; one of two bytes each would need 1 GB
_MOST_STRINGS = 256
_BUFFERS: dict[str, tuple[Literal["d", "i", "u"], type]] = {
    "f": ("d", np.float64),
    "i": ("i", np.int64),
    "u": ("u", np.uint64),
}
# The shortest digits of the one float32 that they are not enough for: read as a double first, they round to
# its neighbour. (All others were tried.)
_MISREAD = b"7.038531e-26"


class _OtherRoadError(Exception):
    """This text is for the general parser."""


@dataclass
class Numbers:
    """An array in a document, not read yet: `text` from its first bracket, at `start`, to its last."""

    text: bytes
    start: int
    stop: int
    is_read: bool = field(default=False, init=False)

    @property
    def nested(self) -> bool:
        """Whether there are lists in it."""
        return self.text[self.start + 1 : self.start + 64].lstrip().startswith(b"[")

    def read(self, spec: TensorSpec) -> np.ndarray:
        """Read it as numbers of `spec`, in as many dimensions; the sizes are the caller's to check.

        Raises:
            Exception: of any kind, for `read_json` to use the general parser.
        """
        self.is_read = True
        dtype = np.dtype(spec.dtype)
        letter, wide = _BUFFERS[dtype.kind]
        text = memoryview(self.text)[self.start : self.stop]
        lists = simdjson.Parser().parse(text)
        if not isinstance(lists, simdjson.Array):
            raise _OtherRoadError
        shape = _shape(lists, len(spec.shape))
        # Whatever is nested is flattened. With no more lists than its shape has, each number is in place.
        if np.count_nonzero(np.frombuffer(text, np.uint8) == ord("[")) != _lists_of(shape):
            raise _OtherRoadError
        flat: np.ndarray = np.frombuffer(lists.as_buffer(of_type=letter), wide)
        return _narrowed(flat, dtype).reshape(shape)


def read_json(text: bytes, what: str, use: Callable[[Any], T]) -> T:
    """Give the document to `use`, which may find `Numbers` in place of long lists; return what it returns.

    When they can't all be read, `use` is called again, with lists: it must be a pure function.

    Raises:
        RequestError: the text, which messages call `what`, is no valid JSON, or holds more than a parser
            takes in good time (413); or `use` refuses what is in it.
    """
    check_lists(text, what)
    with alone(text):
        if len(text) >= _LARGE:
            with suppress(Exception):  # whatever it is, the general parser says it better
                return _read_cut(text, use)
        check_json(text, what)
        try:
            document = from_json(text, allow_inf_nan=False)
        except ValueError as error:
            raise RequestError(f"{what} is no valid JSON: {error}") from error
        return use(document)


def write_json(document: Any) -> bytes:
    """Write a document that may hold arrays, of finite numbers only.

    The digits are the fewest that read back as the same number, as its own type or by way of a double.
    """
    text = orjson.dumps(document, _as_lists, orjson.OPT_SERIALIZE_NUMPY)
    return orjson.dumps(document, _as_lists) if _MISREAD in text else text


def _read_cut(text: bytes, use: Callable[[Any], T]) -> T:
    found = [Numbers(text, start, stop) for start, stop in _long_arrays(text)]
    if not found:
        raise _OtherRoadError
    used = use(_filled(from_json(_rest(text, found), allow_inf_nan=False), found))
    if not all(one.is_read for one in found):  # what is not read may be no JSON
        raise _OtherRoadError
    return used


def _long_arrays(text: bytes) -> Iterator[tuple[int, int]]:
    """Find long arrays that hold no strings and no objects; any two quotes are taken for a string."""
    begin = 0
    for _ in range(_MOST_STRINGS):
        quote = text.find(b'"', begin)
        end = quote if quote >= 0 else len(text)
        if end - begin >= _LARGE:
            brace = text.find(b"}", begin, end)
            end = brace if brace >= 0 else end
            start, stop = text.find(b"[", begin, end), text.rfind(b"]", begin, end) + 1
            if start >= 0 and _LARGE <= stop - start <= _LARGEST:
                yield start, stop
        begin = text.find(b'"', quote + 1) + 1
        if quote < 0 or begin == 0:
            return
    raise _OtherRoadError


def _rest(text: bytes, found: list[Numbers]) -> bytes:
    """Put marks in place of what was found.

    A list stands for a list, so that the rest is as valid as the whole. Nobody else can write such a list:
    no string holds the character NUL, which marks begin with, unless there are escapes.
    """
    starts, stops = [one.start for one in found], [one.stop for one in found]
    parts = [text[begin:end] for begin, end in zip([0, *stops], [*starts, len(text)], strict=True)]
    if any(b"\\" in part for part in parts):
        raise _OtherRoadError
    marks = (b'["\\u0000%d"]' % number for number in range(len(found)))
    return b"".join((parts[0], *chain.from_iterable(zip(marks, parts[1:], strict=True))))


def _filled(value: Any, found: list[Numbers]) -> Any:
    """Put what was found in place of its marks."""
    if isinstance(value, dict):
        return {name: _filled(inner, found) for name, inner in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) == 1 and isinstance(value[0], str) and value[0].startswith("\0"):
        return found[int(value[0][1:])]
    return [_filled(inner, found) for inner in value]


def _shape(lists: simdjson.Array, rank: int) -> tuple[int, ...]:
    """Return the sizes of the first `rank` levels of lists; all lists of one level must be of one size."""
    shape = [len(lists)]
    for depth in range(1, rank):
        level: Iterable[Any] = (lists,)
        for _ in range(depth):
            level = chain.from_iterable(level)
        (size,) = set(map(len, level))
        shape.append(size)
    return tuple(shape)


def _lists_of(shape: tuple[int, ...]) -> int:
    """Count the lists that numbers in this shape are written as."""
    return sum(accumulate(shape[:-1], mul, initial=1))


def _narrowed(flat: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            array = flat.astype(dtype, copy=False)
        fits = np.isfinite(array).all()
    else:
        limits = np.iinfo(dtype)
        array = flat.astype(dtype, copy=False)
        fits = flat.min() >= limits.min and flat.max() <= limits.max
    if not fits:
        raise _OtherRoadError
    return array


def _as_lists(array: np.ndarray) -> Any:
    """Stand in for an array that orjson refuses: one without dimensions, or not in row-major order."""
    return array.tolist()
