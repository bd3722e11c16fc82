"""A kernel in the place of each mark, binding by binding; see `guards.guards`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from tvm import relax

from modeldyno.compiler.graph.fold import as_constant, constant
from modeldyno.compiler.graph.rewrite import clean, is_leaf, is_straight_line, op_name, shape_of, substitute
from modeldyno.compiler.graph.value_ranges import Ranges
from modeldyno.compiler.guards.kernel import guard_kernel
from modeldyno.compiler.guards.marks import Mark, checked_constant, index_mark, is_mark, read_mark
from modeldyno.compiler.guards.operators import divides_whole_numbers, index_inputs, sizes_a_result
from modeldyno.compiler.model.fixed_shapes import MOST_ELEMENTS
from modeldyno.runtime.records.guards import Guard

if TYPE_CHECKING:
    import tvm

ATTRIBUTE = "dyno.guards"
_SIZES = (
    f"the request's numbers ask for a result of a negative size, or of more than {MOST_ELEMENTS} elements"
)
_OPAQUE = 8  # TVM's number for a kernel that is fused with nothing


class Placing:
    """`main` made anew, binding by binding."""

    def __init__(self, mod: tvm.IRModule) -> None:
        self._mod = mod
        self._builder = relax.BlockBuilder()
        self._known: dict[relax.Var, relax.Expr] = {}
        self._ranges = Ranges()
        self._sizes: dict[relax.Var, tuple[int, ...]] = {}  # of variables that are indices into axes of these
        self._divisors: set[relax.Var] = set()  # variables without a 0
        self._guards: list[Guard] = []
        self._word: relax.Var | None = None

    def module(self) -> tvm.IRModule:
        """Give the module with its guards.

        Raises:
            NotImplementedError: constants are out of range.
        """
        main = self._mod["main"]
        blocks = main.body.blocks
        # What asserts is no dataflow, and its assertions are marks.
        straight = is_straight_line(main) or all(isinstance(block, relax.DataflowBlock) for block in blocks)
        attrs = dict(main.attrs) if main.attrs else {}
        builder = self._builder
        with builder.function("main", main.params, attrs=attrs, pure=straight or bool(main.is_pure)):
            if straight:
                with builder.dataflow():
                    result = builder.emit_output(self._result(self._rebuild(main.body)))
            else:
                result = self._result(self._rebuild(main.body))
            builder.emit_func_output(result)
        out = builder.finalize()
        out["main"] = out["main"].with_attr(ATTRIBUTE, [guard.model_dump_json() for guard in self._guards])
        for name, other in self._mod.functions_items():
            if name.name_hint != "main":
                out[name] = other
        return clean(out)

    def _rebuild(self, code: relax.SeqExpr) -> relax.Expr:
        """Emit a body binding by binding; give its result."""
        for block in code.blocks:
            for binding in block.bindings:
                value = self._substituted(getattr(binding, "value", None))
                if isinstance(binding, relax.MatchCast):
                    self._known[binding.var] = self._builder.match_cast(self._sized(value), binding.ty)
                else:
                    self._known[binding.var] = self._bound(value)
        return substitute(code.body, self._known)

    def _substituted(self, value: relax.Expr) -> relax.Expr:
        if not isinstance(value, relax.If):
            return substitute(value, self._known)
        # The importer computes both branches before it chooses, but for what comes last in each. That goes
        # there too: a guard inside a branch could not hand its word on.
        bodies = [self._rebuild(branch) for branch in (value.true_branch, value.false_branch)]
        return relax.If(substitute(value.cond, self._known), *(relax.SeqExpr([], body) for body in bodies))

    def _bound(self, value: relax.Expr) -> relax.Expr:
        if is_mark(value):
            return self._marked(value)
        value = self._without_shift(value)
        value = self._sized(self._indexing(value) if op_name(value) else value)
        if divides_whole_numbers(value):
            return self._divided(value)
        return value if is_leaf(value) and not isinstance(value, relax.Tuple) else self._emit(value)

    def _emit(self, value: relax.Expr) -> relax.Var:
        var = self._builder.emit(value)
        self._ranges.bind(var, value)
        return var

    def _result(self, body: relax.Expr) -> relax.Expr:
        if self._word is None:
            return body
        if isinstance(body, relax.Tuple):
            parts = list(body.fields)
        elif isinstance(body.ty, relax.TupleType):
            parts = [self._builder.emit(relax.TupleGetItem(body, at)) for at in range(len(body.ty.fields))]
        else:
            parts = [body]
        return relax.Tuple([*parts, self._word])

    def _without_shift(self, value: relax.Expr) -> relax.Expr:
        """Leave out what front ends write to count negative indices from the end, where none is negative."""
        if op_name(value) != "relax.where":
            return value
        test, _, otherwise = (self._ranges.value(arg) for arg in value.args)
        plain = value.args[2]
        if op_name(test) != "relax.less" or not self._same(test.args[0], plain):
            return value
        zero, known = constant(test.args[1]), self._ranges.of(plain)
        below = zero is not None and not zero.any() and known is not None and known[0] >= 0
        return plain if below and otherwise is not None else value

    def _same(self, a: relax.Expr, b: relax.Expr) -> bool:
        return bool(a.same_as(b))

    def _marked(self, value: relax.Call) -> relax.Expr:
        _, x, text, *conditions = value.args
        return self._guarded(x, read_mark(text.value), conditions)

    def _guarded(self, x: relax.Expr, what: Mark, conditions: Sequence[relax.Expr] = ()) -> relax.Expr:
        if not what.low:
            return self._divisor(x, what, conditions)
        fixed = constant(x)
        if fixed is not None:
            return checked_constant(x, what)
        known = self._ranges.of(x)
        if known is not None and max(what.low) <= known[0] and known[1] <= min(what.high) and known[0] >= 0:
            return x
        if any(low > high for low, high in zip(what.low, what.high, strict=True)):
            raise NotImplementedError(f"{what.name} points into an axis of no entries")
        safe = self._kernel(x, what, conditions, known=(max(0, min(what.low)), max(what.high)))
        self._sizes[safe] = tuple(high + 1 for high in what.high)
        return safe

    def _divisor(self, x: relax.Expr, what: Mark, conditions: Sequence[relax.Expr]) -> relax.Expr:
        if constant(x) is not None:
            return checked_constant(x, what)
        known = self._ranges.of(x)
        if x in self._divisors or (known is not None and not known[0] <= 0 <= known[1]):
            return x
        safe = self._kernel(x, what, conditions, known=None)
        self._divisors.add(safe)
        return safe

    def _kernel(
        self, x: relax.Expr, what: Mark, conditions: Sequence[relax.Expr], known: tuple[int, int] | None
    ) -> relax.Expr:
        """Emit a guard; give what it lets through."""
        shape = shape_of(x)
        if shape is not None and 0 in shape:
            return x
        self._guards.append(
            Guard(
                operator=what.operator,
                node=what.node,
                input=what.input,
                shape=shape or (),
                low=what.low,
                high=what.high,
                message=what.message,
            )
        )
        before = [] if self._word is None else [self._word]
        tests = list(zip(conditions, what.when, strict=True))
        both = self._builder.emit(
            self._builder.call_te(
                guard_kernel(what.low, what.high, what.size, len(self._guards), [want for _, want in tests]),
                x,
                *before,
                *conditions,
                primfunc_name_hint="guard",
                primfunc_attrs={"op_pattern": _OPAQUE},
            )
        )
        safe = self._builder.emit(relax.TupleGetItem(both, 0))
        self._word = self._builder.emit(relax.TupleGetItem(both, 1))
        self._ranges.bind(safe, both, known)
        return safe

    def _indexing(self, value: relax.Expr) -> relax.Expr:
        """Guard the indices of an operator that no front end marked."""
        for each in index_inputs(value):
            if self._is_inside(each.index, each.sizes):
                continue
            name = op_name(value).removeprefix("relax.")
            what = index_mark(Mark(name, name, _hint(each.index)), each.sizes, from_end=True)
            safe = self._guarded(each.index, what)
            if not safe.same_as(each.index):
                value = each.put(value, safe)
        return value

    def _sized(self, value: relax.Expr) -> relax.Expr:
        """Guard the numbers that say how large a result is: they are none of a tensor that is there.

        A negative size, and one whose bytes 64 bits can't count, would be written beyond what was allocated.
        """
        if not sizes_a_result(value):
            return value
        if op_name(value) == "relax.dynamic_strided_slice":
            data, begin, end, strides = value.args
            safe = self._divisor(strides, Mark("Slice", "Slice", "steps"), ())
            return relax.Call(value.op, [data, begin, end, safe], value.attrs, value.ty_args)
        what = Mark("shape", _hint(value.args[0]), "shape", message=_SIZES, low=(0,), high=(MOST_ELEMENTS,))
        sizes = self._guarded(value.args[0], what)
        all_of_them = self._emit(relax.op.prod(self._emit(relax.op.astype(sizes, "float64"))))
        fits = self._emit(relax.op.less_equal(all_of_them, relax.const(float(MOST_ELEMENTS), "float64")))
        told = replace(what, low=(1,), high=(1,))
        self._guarded(self._emit(relax.op.astype(fits, "int64")), told)
        nothing = relax.const(0, "int64")
        return relax.op.tensor_to_shape(self._emit(relax.op.where(fits, sizes, nothing)))

    def _is_inside(self, index: relax.Expr, sizes: tuple[int, ...]) -> bool:
        """Whether indices were guarded for axes of these sizes, as a whole or each column of them."""
        inside = self._sizes.get(index)
        if inside is not None:
            return inside == sizes or max(inside) <= min(sizes)
        whole = self._ranges.value(index)
        columns = self._ranges.value(whole.args[0]) if op_name(whole) == "relax.concat" else None
        if not isinstance(columns, relax.Tuple) or len(columns.fields) != len(sizes):
            return False
        shapes = [shape_of(column) or (0,) for column in columns.fields]
        ranges = [self._ranges.of(column) for column in columns.fields]
        return int(whole.attrs.axis) in (-1, len(shapes[0]) - 1) and all(
            shape[-1] == 1 and known is not None and known[0] >= 0 and known[1] < size
            for shape, known, size in zip(shapes, ranges, sizes, strict=True)
        )

    def _divided(self, call: relax.Call) -> relax.Expr:
        """Divide by what is not 0; the least number by -1 gives itself, where a processor would trap."""
        name = op_name(call).removeprefix("relax.")
        a, b = call.args
        b = self._divisor(b, Mark(name, name, _hint(b)), ())
        dtype = str(call.args[0].ty.dtype)
        fixed, known = constant(b), self._ranges.of(b)
        harmless = dtype.startswith("uint") or (known is not None and not known[0] <= -1 <= known[1])
        if harmless or (fixed is not None and not (fixed == -1).any()) or self._is_above_least(a, dtype):
            return self._emit(relax.Call(call.op, [a, b], call.attrs, call.ty_args))
        minus_one = self._emit(relax.op.equal(b, relax.const(-1, dtype)))
        by = self._emit(relax.op.where(minus_one, relax.const(1, dtype), b))
        found = self._emit(relax.Call(call.op, [a, by], call.attrs, call.ty_args))
        if name in ("mod", "floor_mod"):
            return found
        return self._emit(relax.op.where(minus_one, self._negated(a, dtype), found))

    def _is_above_least(self, a: relax.Expr, dtype: str) -> bool:
        known = self._ranges.of(a)
        return known is not None and known[0] > np.iinfo(dtype).min

    def _negated(self, a: relax.Expr, dtype: str) -> relax.Expr:
        """Give -a, and the least number as it is: LLVM takes it that no sum or difference is out of range."""
        least = self._emit(relax.op.equal(a, as_constant(np.array(np.iinfo(dtype).min, dtype))))
        return self._emit(relax.op.where(least, a, self._emit(relax.op.negative(a))))


def _hint(expr: relax.Expr) -> str:
    return str(getattr(expr, "name_hint", getattr(expr, "name", "")))
