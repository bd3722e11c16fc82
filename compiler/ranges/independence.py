"""What the source model's graph says of its rows: whether they are independent, whether padding stays out."""

from __future__ import annotations

import re
from dataclasses import replace

from modeldyno.base.errors import first_line
from modeldyno.base.rowflow.records import UNPROVED, Graph, Verdict
from modeldyno.base.rowflow.walk import Question, judge_joined, judge_padded
from modeldyno.compiler.frontends.family import Family
from modeldyno.compiler.model.shapes import FreeAxis, Template

Sizes = dict[str, tuple[int | str | None, ...]]


class Judge:
    """Answers about one model's axes. Where its graph can't be had, nothing is proved, and it says why."""

    def __init__(self, family: Family, template: Template) -> None:
        self._template = template
        self._graph, self._why = _graph(family, template)

    def padded(self, axis: FreeAxis) -> Verdict:
        """Say whether zeros behind an axis change no answer."""
        if self._graph is None:
            return Verdict("unproved", self._why)
        places = {place.tensor: place.dimension for place in axis.places}
        if len(places) < len(axis.places):
            return Verdict("unproved", f"{axis.name} is two dimensions of one input")
        question = Question(places, low=axis.span.low, sizes=self._sizes())
        found = judge_padded(self._graph, question)
        operator, mark, why = found.cause.rpartition("': ")
        named = re.sub(r"\b(the )?rows\b", axis.name.replace("\\", "\\\\"), why)
        return replace(found, cause=f"{operator}{mark}{named}")

    def joined(self, axis: FreeAxis) -> Verdict:
        """Say whether rows along an axis, the first of all inputs and outputs, are independent."""
        if self._graph is None:
            return Verdict("unproved", self._why)
        first = {place.tensor for place in axis.places if place.dimension == 0}
        if first != set(self._template.shapes):
            return Verdict("unproved", f"{axis.name} is not the first dimension of every input")
        return judge_joined(self._graph, self._sizes())

    def _sizes(self) -> Sizes:
        sizes: dict[str, list[int | str | None]] = {
            name: list(shape) for name, shape in self._template.shapes.items()
        }
        for number, axis in enumerate(self._template.axes):
            for place in axis.places:
                sizes[place.tensor][place.dimension] = f"axis {number}"
        return {name: tuple(shape) for name, shape in sizes.items()}


def _graph(family: Family, template: Template) -> tuple[Graph | None, str]:
    if family.graph is None:
        return None, UNPROVED.cause
    try:
        graph = family.graph(template)
    except Exception as error:  # whatever onnx or torch raise: then nothing is proved
        reason = first_line(error)
        return None, f"its graph with open sizes can't be had: {reason}"
    if {given.name for given in graph.inputs} != set(template.shapes):
        return None, "its graph with open sizes has inputs of other names"
    return graph, ""
