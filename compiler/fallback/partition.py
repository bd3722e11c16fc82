"""Cutting a graph into segments that are compiled and segments that are not: few, and none waits for itself.

Each node gets the number of changes of kind on the longest way to it. Nodes of one number and kind make a
segment: along any edge the number never falls, and it rises with each change, so no way leads out of a
segment and back in. Of the segments of one kind, those that can still be one are joined.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """Nodes that run as one, by their places in the graph, in its order."""

    places: tuple[int, ...]
    compiled: bool


def partition(before: Sequence[Sequence[int]], fallback: Collection[int]) -> list[Part]:
    """Give the segments in an order in which each comes after all that it reads from.

    `before` has for each node, in topological order, the places of those whose results it reads; `fallback`
    are the places of nodes that can't be compiled.
    """
    groups: dict[tuple[int, bool], set[int]] = {}
    levels: list[int] = []
    for place, earlier in enumerate(before):
        compiled = place not in fallback
        level = max(
            (levels[other] + ((other in fallback) == compiled) for other in earlier),
            default=0,
        )
        levels.append(level)
        groups.setdefault((level, compiled), set()).add(place)
    return _ordered(_merged(list(groups.items()), before), before)


def _merged(
    groups: list[tuple[tuple[int, bool], set[int]]], before: Sequence[Sequence[int]]
) -> list[tuple[bool, set[int]]]:
    """Join segments of one kind where no way leads from one to the other through a third."""
    parts = [(kind[1], places) for kind, places in groups]
    joined = True
    while joined:
        joined = False
        edges = _edges(parts, before)
        for one in range(len(parts)):
            for two in range(one + 1, len(parts)):
                if parts[one][0] == parts[two][0] and not _detour(edges, one, two):
                    parts[one] = (parts[one][0], parts[one][1] | parts[two][1])
                    del parts[two]
                    joined = True
                    break
            if joined:
                break
    return parts


def _edges(parts: list[tuple[bool, set[int]]], before: Sequence[Sequence[int]]) -> list[set[int]]:
    """For each part, the parts that read from it."""
    owner = {place: number for number, (_, places) in enumerate(parts) for place in places}
    edges: list[set[int]] = [set() for _ in parts]
    for place, earlier in enumerate(before):
        for other in earlier:
            if owner[other] != owner[place]:
                edges[owner[other]].add(owner[place])
    return edges


def _detour(edges: list[set[int]], one: int, two: int) -> bool:
    """Whether a way of more than one step leads from one part to the other, in either direction."""
    return _reaches(edges, edges[one] - {two}, two) or _reaches(edges, edges[two] - {one}, one)


def _reaches(edges: list[set[int]], begin: set[int], goal: int) -> bool:
    seen, open_ = set(begin), list(begin)
    while open_:
        here = open_.pop()
        if here == goal:
            return True
        open_.extend(edges[here] - seen)
        seen |= edges[here]
    return False


def _ordered(parts: list[tuple[bool, set[int]]], before: Sequence[Sequence[int]]) -> list[Part]:
    edges = _edges(parts, before)
    waits = [sum(number in after for after in edges) for number in range(len(parts))]
    ready = sorted(
        (number for number, count in enumerate(waits) if not count), key=lambda n: min(parts[n][1])
    )
    order = []
    while ready:
        number = ready.pop(0)
        order.append(number)
        for after in sorted(edges[number], key=lambda n: min(parts[n][1])):
            waits[after] -= 1
            if not waits[after]:
                ready.append(after)
    return [Part(tuple(sorted(parts[number][1])), parts[number][0]) for number in order]
