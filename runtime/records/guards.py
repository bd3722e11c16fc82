"""What an artifact's code checks of the numbers that a request brings: indices, and whole divisors.

Compiled code goes where an index says. A kernel before each such operator looks at all of them, hands 0 on in
the place of one that is out of range (1 for a divisor of 0), and notes the first in a word of three numbers:
which guard it was (from 1; 0: none), at which element, and what stood there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modeldyno.base.errors import RequestError
from modeldyno.base.records.fields import Field
from modeldyno.base.records.record import Record

if TYPE_CHECKING:
    import numpy.typing as npt

_NO_NUMBER = -(2**63)  # what processors turn a NaN and floats that are too large into
WORD = 3  # numbers of int64 in a word: guard (from 1), element, value


class Guard(Record):
    """One input of one operator of the source model that is checked in each inference.

    `low` and `high` are the smallest and the largest number that it takes, for each place of its last axis
    where they are more than one. A divisor has none: it must not be 0.
    """

    operator: str
    node: str
    input: str
    shape: tuple[int, ...]
    low: tuple[int, ...] = ()
    high: tuple[int, ...] = ()
    message: str = Field(default="", description="what an assertion of the source model says")

    def refusal(self, element: int, value: int) -> str:
        """Say what is wrong with an element, by its number in C order."""
        place = _place(element, self.shape)
        if self.message:
            return f"{self.operator} {self.node!r}: {self.message}"
        where = f"{self.operator} {self.node!r}: its input {self.input!r}"
        at = f" at {list(place)}" if place else ""
        if not self.low:
            return f"{where} is 0{at}, and whole numbers can't be divided by 0"
        slot = place[-1] if len(self.low) > 1 else 0
        number = value if value != _NO_NUMBER else "no whole number of 64 bits"
        return f"{where} holds {number}{at}; it takes {self.low[slot]} to {self.high[slot]}"


def check_word(guards: Sequence[Guard], word: npt.NDArray[Any]) -> None:
    """Refuse the request where a guard found something.

    Raises:
        RequestError: names the operator, its input and what stands there.
    """
    if word[0]:
        number, element, value = map(int, word)
        raise RequestError(guards[number - 1].refusal(element, value))


def _place(element: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    found = []
    for size in reversed(shape):
        element, at = divmod(element, size)
        found.append(at)
    return tuple(reversed(found))
