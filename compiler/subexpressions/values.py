"""Parts that occur several times in an expression, computed once each, under a name (`Let`).

TVM's passes walk an expression as a tree: what a formula reads ten times they see, and analyse, ten times;
LLVM, which would find the copies, comes last. Equal parts get one number (value numbering: Cocke and
Schwartz, 1970); a part that two others are made of gets a name. What only a branch of a choice computes gets
none where computing it always might fail: a read, which may lie beyond the tensor, or a division of whole
numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import tirx
from tvm.ir import Call, Op, PrimType
from tvm.ir.expr import TensorLoad
from tvm_ffi import structural_walk

_BINARY = (
    *(tirx.Add, tirx.Sub, tirx.Mul, tirx.Div, tirx.Mod, tirx.FloorDiv, tirx.FloorMod, tirx.Min, tirx.Max),
    *(tirx.EQ, tirx.NE, tirx.LT, tirx.LE, tirx.GT, tirx.GE),
    *(tirx.LShift, tirx.RShift, tirx.BitwiseAnd, tirx.BitwiseOr, tirx.BitwiseXor),
)
_DIVISIONS = (tirx.Div, tirx.Mod, tirx.FloorDiv, tirx.FloorMod)
_LEAVES = (tirx.Var, tirx.IntImm, tirx.FloatImm)
ASKED = "prim.if_then_else"
_PURE = 1  # TVM's number for a call whose result depends on its arguments alone


@dataclass(frozen=True)
class _Part:
    """A part of an expression: the numbers of what it is made of; of `guarded`, not all may be computed."""

    node: tirx.Expr
    always: tuple[int, ...]
    guarded: tuple[int, ...]
    may_fail: bool  # if it is computed where nobody asks for it

    @property
    def is_leaf(self) -> bool:
        return isinstance(self.node, _LEAVES)


@dataclass(frozen=True)
class Named:
    """A value under a name: how it is held, and how it is read."""

    name: tirx.Var
    held: tirx.Expr
    read: tirx.Expr

    def within(self, body: tirx.Expr) -> tirx.Expr:
        """Give the expression `body`, which reads the name, with the value in front."""
        return tirx.Let(self.name, self.held, body)


def named(value: tirx.Expr, name: str = "v") -> Named:
    """Put a value under a name. Of a truth value, a number is held: TVM takes no vector of them by name."""
    dtype = str(value.ty.dtype)
    if dtype != "bool":
        var = tirx.Var(name, PrimType(dtype))
        return Named(var, value, var)
    var, one, zero = tirx.Var(name, PrimType("int32")), tirx.const(1, "int32"), tirx.const(0, "int32")
    return Named(var, tirx.Select(value, one, zero), tirx.NE(var, zero))


def name_values(expr: tirx.Expr, is_safe: Callable[[tirx.Expr], bool] = lambda _read: False) -> tirx.Expr:
    """Give the expression with a name for each part that occurs more than once.

    `is_safe` says of a read whether it is inside its tensor wherever the expression is computed.
    """
    found = _Parts(is_safe)
    root = found.number(expr)
    names: dict[int, tirx.Expr] = {}
    held = []
    for number in _repeated(found.parts, root):
        held.append(named(_rebuilt(found.parts, number, names)))
        names[number] = held[-1].read
    body = _rebuilt(found.parts, root, names)
    for each in reversed(held):
        body = each.within(body)
    return body


def has_names(node: tirx.Expr | tirx.Stmt) -> bool:
    """Whether an expression or statement holds values under names."""
    found: list[Any] = []
    structural_walk(node, (tirx.Let, found.append))
    return bool(found)


class _Parts:
    """The parts of an expression by number; equal ones have one, a part comes after what it is made of."""

    def __init__(self, is_safe: Callable[[tirx.Expr], bool]) -> None:
        self._is_safe = is_safe
        self.parts: list[_Part] = []
        self._known: dict[Any, int] = {}

    def number(self, node: tirx.Expr) -> int:
        """Give a part's number."""
        always, guarded = _children(node)
        below = tuple(map(self.number, always)), tuple(map(self.number, guarded))
        part = _Part(node, *below, may_fail=self._may_fail(node))
        key = self._key(part)
        if key in self._known:
            return self._known[key]
        self.parts.append(part)
        number = self._known[key] = len(self.parts) - 1
        return number

    def _may_fail(self, node: tirx.Expr) -> bool:
        if isinstance(node, TensorLoad):
            return not self._is_safe(node)
        if isinstance(node, _DIVISIONS):
            return not str(node.ty.dtype).startswith("float")
        is_pure = isinstance(node, Call) and _is_pure(node)
        return not (is_pure or isinstance(node, _LEAVES) or _is_known(node))

    def _key(self, part: _Part) -> Any:
        node = part.node
        kind: Any = type(node)
        if isinstance(node, tirx.Var):
            return kind, node
        if isinstance(node, tirx.IntImm | tirx.FloatImm):
            # By its text: 0.0 and -0.0 are equal, and differ.
            return kind, str(node.ty.dtype), repr(node.value)
        if isinstance(node, TensorLoad):
            return kind, node.source, tuple(self.number(index) for index in node.indices)
        if isinstance(node, Call):
            kind = kind, node.op.name if _is_pure(node) else len(self.parts)
        elif not _is_known(node):
            kind = kind, len(self.parts)
        return kind, str(node.ty.dtype), part.always, part.guarded


def _repeated(parts: list[_Part], root: int) -> list[int]:
    """Parts that may always be computed, and that two others are made of, or one twice; in their order."""
    reached, uses = {root}, Counter[int]()
    always = {root}
    for number in range(root, -1, -1):  # what a part is made of has a lower number
        part = parts[number]
        if number in reached:
            uses.update([*part.always, *part.guarded])
            reached.update([*part.always, *part.guarded])
        if number in always:
            always.update(part.always)
    for number in range(root):
        part = parts[number]
        if not part.may_fail and all(each in always for each in (*part.always, *part.guarded)):
            always.add(number)
    return [
        number
        for number in range(root)
        if uses[number] > 1 and number in always and not parts[number].is_leaf
    ]


def _rebuilt(parts: list[_Part], number: int, names: dict[int, tirx.Expr]) -> tirx.Expr:
    part = parts[number]
    if not part.always and not part.guarded:
        return part.node
    below = [
        names[each] if each in names else _rebuilt(parts, each, names)
        for each in (*part.always, *part.guarded)
    ]
    if isinstance(part.node, tirx.Cast):
        return tirx.Cast(str(part.node.ty.dtype), *below)
    if isinstance(part.node, Call):
        return Call(part.node.op, below, part.node.attrs, part.node.ty_args, ret_ty=part.node.ty)
    return type(part.node)(*below)


def _children(node: tirx.Expr) -> tuple[list[tirx.Expr], list[tirx.Expr]]:
    """What a part is made of: what is always computed, and what may not be."""
    if isinstance(node, _BINARY):
        return [node.a, node.b], []
    if isinstance(node, tirx.And | tirx.Or):
        return [node.a], [node.b]
    if isinstance(node, tirx.Cast | tirx.Not):
        return [node.value if isinstance(node, tirx.Cast) else node.a], []
    if isinstance(node, tirx.Select):
        return [node.condition], [node.true_value, node.false_value]
    if isinstance(node, Call) and _is_pure(node):
        asked = 1 if node.op.name == ASKED else len(node.args)
        return list(node.args[:asked]), list(node.args[asked:])
    return [], []


def _is_known(node: tirx.Expr) -> bool:
    return isinstance(node, (*_BINARY, tirx.And, tirx.Or, tirx.Cast, tirx.Not, tirx.Select))


def _is_pure(call: Call) -> bool:
    if not isinstance(call.op, Op):
        return False
    effect = call.op.get_attr("TCallEffectKind")
    return effect is not None and int(effect) <= _PURE
