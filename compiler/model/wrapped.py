"""Circular padding as parts of an axis, side by side."""

from __future__ import annotations


def wrapped_parts(size: int, before: int, after: int) -> list[tuple[int, int]]:
    """Give the parts (begin, end) of an axis of `size`, padded by what stands at its other end.

    Paddings larger than the axis go round it several times.
    """
    found = []
    for turn in range(-before // size, 1 - (-after // size)):
        start = turn * size
        found.append((max(-before, start) - start, min(size + after, start + size) - start))
    return found
