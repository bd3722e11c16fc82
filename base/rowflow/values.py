"""What is known of one tensor: its shape, its numbers where it is small, and where the rows lie in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from modeldyno.base.rowflow.records import Mode, Node
from modeldyno.base.rowflow.sizes import ONE, ROWS, Shape, Size, product


class Plain(Enum):
    """A tensor without rows: the same whatever the rows are, or following from their number alone."""

    FREE = "free"
    COUNTED = "counted"


FREE, COUNTED = Plain.FREE, Plain.COUNTED


@dataclass(frozen=True)
class Rows:
    """The rows lie in dimension `at`, whose size is outer * count * inner, in this order.

    What it holds for a row follows from that row alone (JOIN), or from no padding (PAD). `same`: it is equal
    in all rows, whatever the inputs are. Of PAD alone: `zero`: what was padded is 0; `floor`: nothing is
    below 0; `blind`: nothing on its way could tell padding from numbers, as a mask or a comparison could.
    """

    at: int
    outer: Size = ONE
    inner: Size = ONE
    count: Size = ROWS
    same: bool = False
    zero: bool = False
    floor: bool = False
    blind: bool = False

    @property
    def place(self) -> tuple[int, Size, Size, Size]:
        """Where the rows lie."""
        return self.at, self.outer, self.inner, self.count

    def moved(self, at: int) -> Rows:
        """The same in another dimension."""
        return replace(self, at=at)

    def mapped(self, *, zero: bool = False, floor: bool = False) -> Rows:
        """The same place, other numbers."""
        return replace(self, zero=zero, floor=floor)


@dataclass(frozen=True)
class Lost:
    """Rows are mixed (`certain`), or nobody can tell; `cause` names the operator."""

    cause: str
    certain: bool
    numbering: Rows | None = None  # it holds the numbers of the rows themselves, in their own places
    in_front: bool = False  # of the last dimension only the first does; the rest follows from each row
    times: Size = ONE  # it holds so many times those numbers
    filled: bool = False  # and to each something from 0 to `times` is added


State = Plain | Rows | Lost
Number = Size | float | None  # of shapes: a size; None: not known


@dataclass(frozen=True)
class Value:
    """A tensor. `shape` is None where its rank is not known; `numbers` only of ranks 0 and 1."""

    shape: Shape | None
    state: State = FREE
    numbers: tuple[Number, ...] | None = None
    kind: str = "f"
    finite: bool = False  # a constant without NaN and infinities
    bound: Size | None = None  # whole numbers from 0 on, all below it

    @property
    def rows(self) -> Rows | None:
        """Where its rows lie; None where it has none."""
        return self.state if isinstance(self.state, Rows) else None


class UnclearError(Exception):
    """No rule can tell whether rows stay apart."""


class CrossedError(Exception):
    """Rows are mixed. `certain` is False where padding may be hidden by a mask."""

    def __init__(self, why: str, *, certain: bool = True) -> None:
        super().__init__(why)
        self.certain = certain


@dataclass(frozen=True)
class Call:
    """One node with what it reads. `low` is the smallest number of rows, which only PAD goes by."""

    node: Node
    values: tuple[Value | None, ...]
    mode: Mode
    opset: int
    low: int = 1
    bare: bool = False  # only shapes are asked for

    def has(self, place: int) -> bool:
        """Whether an input is given."""
        return place < len(self.values) and self.values[place] is not None

    def value(self, place: int = 0) -> Value:
        """Give an input."""
        found = self.values[place] if place < len(self.values) else None
        if found is None:
            raise UnclearError(f"its input {place} is missing")
        return found

    def shape(self, place: int = 0) -> Shape:
        """Give an input's shape."""
        shape = self.value(place).shape
        if shape is None:
            raise UnclearError("the rank of what it reads is not known")
        return shape

    def axis(self, name: str, default: int, rank: int) -> int:
        """Give an attribute that is an axis, counted from the front."""
        axis = int(self.node.attributes.get(name, default))
        return axis + rank if axis < 0 else axis

    def attribute(self, name: str, default: Any) -> Any:
        """Give an attribute."""
        return self.node.attributes.get(name, default)

    def numbers(self, place: int) -> tuple[Number, ...]:
        """Give an input's numbers."""
        numbers = self.value(place).numbers
        if numbers is None:
            raise UnclearError(f"the values of its input {place} are not known")
        return numbers

    def integers(self, place: int, attribute: str = "") -> list[int] | None:
        """Give whole numbers of an attribute or an input; None where neither is given."""
        if attribute and attribute in self.node.attributes:
            given = self.node.attributes[attribute]
            return [int(each) for each in (given if isinstance(given, Sequence) else [given])]
        if not self.has(place):
            return None
        found = [each.known if isinstance(each, Size) else None for each in self.numbers(place)]
        if any(each is None for each in found):
            raise UnclearError(f"the values of its input {place} are known only when it runs")
        return [each for each in found if each is not None]

    def crossed(self, rows: Rows, why: str, *, sums: bool = False) -> CrossedError:
        """Say that rows are mixed: certainly where they are joined, or where nothing could hide padding.

        `sums` is an operator that zeros do not move: then padding may be zero though no rule knows it.
        """
        return CrossedError(why, certain=self.mode is Mode.JOIN or (rows.blind and not sums))


def whole(state: Rows, shape: Shape) -> Value:
    """Give a value with rows, whose dimension is as large as they say.

    Raises:
        UnclearError: it is not.
    """
    if shape[state.at] != state.outer * state.count * state.inner:
        raise UnclearError("the size of its rows can't be followed")
    return Value(shape, state)


def without(at: int, gone: set[int]) -> int:
    """Give where dimension `at` is when others are gone."""
    return at - sum(each < at for each in gone)


def before(shape: Shape, at: int) -> Size:
    """Multiply the sizes before a dimension."""
    return product(shape[:at])


def axes_of(axes: list[int] | None, rank: int) -> set[int]:
    """Count axes from the front; all where none are given."""
    return set(range(rank)) if axes is None else {axis + rank if axis < 0 else axis for axis in axes}
