"""Sizes of tensors with symbols in them: sums of products, such as `12*rows` or `rows*s1 + 1`.

A symbol that follows from the number of rows begins with `*`. Any other has the same value whatever that is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeAlias

Product = tuple[str, ...]
_LONGEST = 400
_MOST_TERMS, _MOST_FACTORS = 64, 24  # of a product that is written out
Shape: TypeAlias = "tuple[Size, ...]"


@dataclass(frozen=True)
class Size:
    """A sum of `count` times each product of symbols; products are sorted, no count is 0."""

    terms: tuple[tuple[Product, int], ...]

    @property
    def known(self) -> int | None:
        """The number, where there is no symbol."""
        if not self.terms:
            return 0
        return self.terms[0][1] if len(self.terms) == 1 and not self.terms[0][0] else None

    @property
    def counts_rows(self) -> bool:
        """Whether it follows from the number of rows."""
        return any(symbol.startswith("*") for product, _ in self.terms for symbol in product)

    @property
    def _degree(self) -> int:
        return max((len(product) for product, _ in self.terms), default=0)

    def __add__(self, other: Size) -> Size:
        return _sum((*self.terms, *other.terms))

    def __sub__(self, other: Size) -> Size:
        return _sum((*self.terms, *((product, -count) for product, count in other.terms)))

    def __mul__(self, other: Size) -> Size:
        if len(self.terms) * len(other.terms) > _MOST_TERMS or self._degree + other._degree > _MOST_FACTORS:
            return opaque(" times ".join(sorted((f"({self})", f"({other})"))), self, other)
        return _sum((tuple(sorted((*one, *two))), a * b) for one, a in self.terms for two, b in other.terms)

    def exactly_over(self, other: Size) -> Size | None:
        """Divide without rest, whatever the symbols stand for; None where that can't be told."""
        if not other.terms:
            return None
        rest, found = self, Size(())
        while rest.terms:  # long division, the highest product first
            part = _term_over(_highest(rest), _highest(other))
            if part is None:
                return None
            found, rest = found + part, rest - part * other
        return found

    def over(self, other: Size) -> Size:
        """Divide and round down: exactly, or as a symbol of its own."""
        exact = self.exactly_over(other)
        if exact is not None:
            return exact
        if self.known is not None and other.known:
            return size(self.known // other.known)
        return opaque(f"({self})//({other})", self, other)

    def surely_differs(self, other: Size) -> bool:
        """Whether the two are unequal whatever the symbols stand for; no size is negative."""
        apart = (self - other).terms
        constant = sum(count for product, count in apart if not product)
        rest = [count for product, count in apart if product]
        if constant > 0:
            return all(count > 0 for count in rest)
        return constant < 0 and all(count < 0 for count in rest)

    def at(self, rows: int) -> int | None:
        """Give the number for so many rows; None where it follows from more."""
        total = 0
        for product, count in self.terms:
            if any(symbol != "*rows" for symbol in product):
                return None
            total += count * rows ** len(product)
        return total

    def __str__(self) -> str:
        """As a formula."""
        return (
            " + ".join("*".join((*([str(n)] if n != 1 or not p else []), *p)) for p, n in self.terms) or "0"
        )


def _highest(of: Size) -> tuple[Product, int]:
    return max(of.terms, key=lambda term: (len(term[0]), term[0]))


def _term_over(term: tuple[Product, int], by: tuple[Product, int]) -> Size | None:
    left = list(term[0])
    for each in by[0]:
        if each not in left:
            return None
        left.remove(each)
    return None if term[1] % by[1] else _sum([(tuple(left), term[1] // by[1])])


def _sum(terms: Iterable[tuple[Product, int]]) -> Size:
    total: dict[Product, int] = {}
    for product, count in terms:
        total[product] = total.get(product, 0) + count
    return Size(tuple(sorted((product, count) for product, count in total.items() if count)))


def size(number: int) -> Size:
    """Give a known size."""
    return Size((((), number),) if number else ())


def symbol(name: str) -> Size:
    """Give a size that only a name stands for."""
    return Size((((name,), 1),))


def opaque(name: str, *sources: Size) -> Size:
    """Give a size of which nothing is known but what it follows from; equal names are equal sizes."""
    bare = name.replace("*", "·")
    if len(bare) > _LONGEST:  # a name holds those that it is made of, which would double with each step
        bare = blake2b(bare.encode(), digest_size=16).hexdigest()
    return symbol(f"*{bare}" if any(each.counts_rows for each in sources) else bare)


def cut_to(length: Size, end: Size) -> Size:
    """Give the smaller of two: how much of `length` there is up to `end`."""
    if length.known is not None and end.known is not None:
        return size(min(length.known, end.known))
    return length if length == end else opaque(f"min({length}, {end})", length, end)


def _is_cut_to(one: Size, other: Size) -> bool:
    """Whether a size is what is there of something up to the other."""
    bare = str(other).replace("*", "·")
    return str(one).lstrip("*").startswith("min(") and str(one).endswith(f", {bare})")


def product(sizes: Iterable[Size]) -> Size:
    """Multiply sizes."""
    return math.prod(sizes, start=ONE)


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """Give the shape that these make together, by numpy's rules; a symbol of its own where none can tell."""
    rank = max(map(len, shapes), default=0)
    padded = [(ONE,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(_together(sizes) for sizes in zip(*padded, strict=True)) if padded else ()


def _together(sizes: tuple[Size, ...]) -> Size:
    found = dict.fromkeys(each for each in sizes if each != ONE)
    if len(found) < 2:
        return next(iter(found), ONE)
    if len(found) == 2:
        one, two = found
        # What is cut to the other size has that size, or neither fits the other.
        if _is_cut_to(one, two):
            return two
        if _is_cut_to(two, one):
            return one
    fixed = [each for each in found if each.known is not None]
    return fixed[0] if fixed else opaque(f"max({', '.join(sorted(map(str, found)))})", *found)


ONE = size(1)
ROWS = symbol("*rows")
