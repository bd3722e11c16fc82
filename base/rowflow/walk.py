"""Node by node through a graph, in the order of computation, to a verdict on its outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from modeldyno.base.rowflow.folding import fold
from modeldyno.base.rowflow.numbering import bounded, numbered
from modeldyno.base.rowflow.records import Constant, Graph, Mode, Node, Place, Verdict
from modeldyno.base.rowflow.sizes import ONE, ROWS, Size, size, symbol
from modeldyno.base.rowflow.tables import MIXES, RANDOM, RULES, TABLE_RULES, TAKES_COUNTS, Rule
from modeldyno.base.rowflow.values import (
    COUNTED,
    FREE,
    Call,
    CrossedError,
    Lost,
    Rows,
    State,
    UnclearError,
    Value,
)

Places = Mapping[str, int]  # which dimension of an input the rows are
Sizes = Mapping[str, tuple[int | str | None, ...]]  # shapes of inputs
_STANDARD = ("", "ai.onnx")
_OLDEST = 7  # before it, Add and its kin said by attributes how they broadcast
_BODIES = ("If", "Loop", "Scan")
_UNKNOWN = Value(None, Lost("", certain=False))


@dataclass(frozen=True)
class Question:
    """What is asked: along which dimension of which inputs, and for how many rows at least (PAD)."""

    places: Places
    mode: Mode = Mode.JOIN
    low: int = 1
    sizes: Sizes | None = None


def judge_joined(graph: Graph, sizes: Sizes | None = None) -> Verdict:
    """Say whether the rows of a batch, the first dimension of all inputs and outputs, are independent.

    `sizes` are shapes that are better known than the graph has them.
    """
    for given in graph.inputs:
        shape = (sizes or {}).get(given.name, given.shape)
        if not shape or isinstance(shape[0], int):
            return Verdict("unproved", f"input {given.name!r} has no open first dimension")
    if graph.opset < _OLDEST:
        return Verdict("unproved", f"opset {graph.opset} broadcasts in another way")
    question = Question(dict.fromkeys((each.name for each in graph.inputs), 0), sizes=sizes)
    found = verdict(walked(graph, question), graph.outputs, first_only=True)
    return replace(found, equal=_equal(graph, question.places))


def _equal(graph: Graph, places: Places) -> tuple[tuple[Place, ...], ...]:
    """Group the dimensions of one name, but those of the rows."""
    found: dict[str, list[Place]] = {}
    for given in graph.inputs:
        for at, each in enumerate(given.shape or ()):
            if isinstance(each, str) and places.get(given.name) != at:
                found.setdefault(each, []).append((given.name, at))
    return tuple(tuple(group) for group in found.values() if len(group) > 1)


def judge_padded(graph: Graph, question: Question) -> Verdict:
    """Say whether zeros behind the rows change nothing of what outputs hold for the rows."""
    if graph.opset < _OLDEST:
        return Verdict("unproved", f"opset {graph.opset} broadcasts in another way")
    return verdict(walked(graph, replace(question, mode=Mode.PAD)), graph.outputs, first_only=False)


def verdict(values: Mapping[str, Value], outputs: Iterable[str], *, first_only: bool) -> Verdict:
    """Sum the outputs up: refuted where one certainly mixes rows, proved where none may."""
    unclear: list[str] = []
    for name in outputs:
        value = values.get(name, _UNKNOWN)
        state = value.state
        if isinstance(state, Lost):
            if state.certain:
                return Verdict("refuted", state.cause)
            unclear.append(state.cause or f"nothing is known of output {name!r}")
        elif isinstance(state, Rows):
            if state.outer != ONE or (first_only and (state.at != 0 or state.inner != ONE)):
                unclear.append(f"output {name!r} does not hold the rows one behind another in front")
        elif state is COUNTED:
            unclear.append(f"{name!r}: it follows from the number of rows")
        elif first_only:
            unclear.append(f"output {name!r} does not follow from each row")
    return Verdict("unproved", unclear[0]) if unclear else Verdict("proved")


def walked(graph: Graph, question: Question) -> dict[str, Value]:
    """Give what is known of every tensor of a graph."""
    values = {name: _constant(each) for name, each in graph.constants.items()}
    floats = {each.name for each in graph.inputs if each.name in question.places and each.kind == "f"}
    blind = len(question.places) == 1 and len(floats) == 1
    for given in graph.inputs:
        shape = (question.sizes or {}).get(given.name, given.shape)
        if shape is None:
            values[given.name] = Value(None, Lost(f"input {given.name!r} has no rank", certain=False))
            continue
        sizes = [_size(given.name, at, each) for at, each in enumerate(shape)]
        state: State = FREE
        if given.name in question.places:
            at = question.places[given.name]
            sizes[at] = ROWS
            state = Rows(at, zero=True, floor=given.kind in "ub", blind=blind)
        values[given.name] = Value(tuple(sizes), state, kind=given.kind)
    _through(graph, values, question)
    return values


def _size(name: str, at: int, given: int | str | None) -> Size:
    if isinstance(given, int):
        return size(given)
    return symbol(f"{name}.{at}" if given is None else f"[{given}]".replace("*", "·"))


def _constant(given: Constant) -> Value:
    numbers = None
    if given.numbers is not None and len(given.shape) < 2:
        numbers = tuple(float(n) if isinstance(n, float) else size(int(n)) for n in given.numbers)
    return Value(tuple(map(size, given.shape)), FREE, numbers, given.kind, given.finite)


def _through(graph: Graph, values: dict[str, Value], question: Question) -> None:
    for node in graph.nodes:
        made = _give(node, values, (graph.opset, question))
        values.update({name: value for name, value in zip(node.outputs, made, strict=False) if name})
        for name in node.outputs[len(made) :]:
            values[name] = Value(None, Lost(_cause(node, "it gives more than is known of"), certain=False))


def _give(node: Node, values: Mapping[str, Value], around: tuple[int, Question]) -> list[Value]:
    """Give what a node gives; where its rows are lost, still their shapes."""
    opset, question = around
    read = tuple(values.get(name, _UNKNOWN) if name else None for name in node.inputs)
    if node.bodies or node.operator in _BODIES:
        return _with_bodies(node, values, around)
    call = Call(node, read, question.mode, opset, question.low)
    rule = _rule(node)
    if (folded := _folded(call)) is not None:
        return [folded]
    shapes = _shapes(call, rule)
    given = [value for value in read if value is not None]
    if lost := _worst(given):
        made = None if lost.certain else numbered(call)
        return [made] if made else [replace(value, state=lost, numbers=None) for value in shapes]
    if all(value.state is FREE for value in given) and _is_standard(node):
        return bounded(call, shapes)
    return _ruled(call, rule, given, shapes)


def _is_standard(node: Node) -> bool:
    return node.domain in _STANDARD and node.operator not in RANDOM


def _ruled(call: Call, rule: Rule | None, given: list[Value], shapes: list[Value]) -> list[Value]:
    node = call.node
    try:
        return bounded(call, _checked(_applied(call, rule, given, shapes)))
    except CrossedError as error:
        state = Lost(_cause(node, str(error)), certain=error.certain)
    except UnclearError as error:
        state = Lost(_cause(node, str(error)), certain=False)
    except (LookupError, ValueError, TypeError, ArithmeticError):
        state = Lost(_cause(node, "it is not as ONNX has it"), certain=False)
    return [replace(value, state=state, numbers=None) for value in shapes]


def _applied(call: Call, rule: Rule | None, given: list[Value], shapes: list[Value]) -> list[Value]:
    node, rows = call.node, next((value.rows for value in given if value.rows), None)
    if (why := MIXES.get(node.operator)) and rows:
        raise call.crossed(rows, why)
    if rule is None:
        raise UnclearError("no rule says what it does with rows")
    counted = any(value.state is COUNTED for value in given)
    if counted and node.operator not in TAKES_COUNTS:
        if rows:
            raise call.crossed(rows, "the number of rows is computed with")
        return [replace(value, state=COUNTED) for value in shapes]
    return rule(call)


def _folded(call: Call) -> Value | None:
    if call.node.domain not in _STANDARD:
        return None
    try:
        return fold(call)
    except (UnclearError, LookupError, ValueError, TypeError, ArithmeticError):
        return None


def _shapes(call: Call, rule: Rule | None) -> list[Value]:
    """Give the shapes alone: what the rule says of tensors without rows."""
    bare = tuple(None if value is None else replace(value, state=FREE) for value in call.values)
    if rule is not None:
        try:
            return [replace(each, state=FREE) for each in rule(replace(call, values=bare, bare=True))]
        except (CrossedError, UnclearError, LookupError, ValueError, TypeError, ArithmeticError):
            pass
    return [Value(None)] * len(call.node.outputs)


def _checked(found: list[Value]) -> list[Value]:
    """Hold what every rule must keep: the number of rows is in one dimension, that of the rows."""
    for value in found:
        counting = [at for at, each in enumerate(value.shape or ()) if each.counts_rows]
        rows = value.rows
        if rows and (counting != [rows.at] or value.shape is None):
            raise UnclearError("the number of rows is in more than one of its dimensions")
        if rows and (rows.outer * rows.inner).counts_rows:
            raise UnclearError("it is as large as the number of rows times itself")
        if rows and value.shape and value.shape[rows.at] != rows.outer * rows.count * rows.inner:
            raise UnclearError("the size of its rows can't be followed")
        if value.state is FREE and counting:
            raise UnclearError("it is as large as there are rows")
    return found


def _rule(node: Node) -> Rule | None:
    if node.domain == "ai.onnx.ml":
        return TABLE_RULES.get(node.operator)
    return RULES.get(node.operator) if node.domain in _STANDARD else None


def _worst(values: Iterable[Value]) -> Lost | None:
    lost = [value.state for value in values if isinstance(value.state, Lost)]
    return next((each for each in lost if each.certain), lost[0] if lost else None)


def _cause(node: Node, why: str) -> str:
    return f"{node.words}: {why}"


def _with_bodies(node: Node, values: Mapping[str, Value], around: tuple[int, Question]) -> list[Value]:
    """An If by a condition that is the same for all rows: both branches must agree. No loop is followed."""
    condition = values.get(node.inputs[0], _UNKNOWN) if node.inputs else _UNKNOWN
    count = len(node.outputs)
    if isinstance(condition.state, Lost) and node.operator == "If":
        return [Value(None, condition.state)] * count
    names = ["then_branch", "else_branch"]
    if node.operator != "If" or condition.state is not FREE or sorted(node.bodies) != sorted(names):
        return [Value(None, Lost(_cause(node, "what it does is not followed"), certain=False))] * count
    branches = [node.bodies[name] for name in names]
    number = condition.numbers[0] if condition.numbers else None
    if isinstance(number, Size) and number.known is not None:
        branches = branches[:1] if number.known else branches[1:]
    made = [_branch(body, values, around) for body in branches]
    if len(made) == 1:
        return made[0]
    return [_either(node, *pair) for pair in zip(*made, strict=True)]


def _branch(body: Graph, values: Mapping[str, Value], around: tuple[int, Question]) -> list[Value]:
    inside = {**values, **{name: _constant(each) for name, each in body.constants.items()}}
    _through(body, inside, around[1])
    return [inside.get(name, _UNKNOWN) for name in body.outputs]


def _either(node: Node, one: Value, two: Value) -> Value:
    if lost := _worst((one, two)):
        return Value(None, lost)
    alike = one.shape is not None and two.shape is not None and one.shape == two.shape
    if alike and (one.state == two.state or (one.rows and two.rows and one.rows.place == two.rows.place)):
        return replace(one, state=one.rows.mapped() if one.rows else one.state, numbers=None)
    return Value(None, Lost(_cause(node, "its branches differ in shape"), certain=False))
