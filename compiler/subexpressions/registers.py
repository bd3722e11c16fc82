"""Values under a name (`Let`), held in registers: each in a small buffer of its own.

What TVM's passes know of a name they put in its place wherever they prove something of an expression: a chain
of names, each read twice by the next, they unfold to its full size, which doubles with every link. They know
nothing of what stands in a buffer. LLVM and NVIDIA's compiler keep buffers that are read at fixed places in
registers. So every name becomes such a buffer once the loops are as they are to be, before TVM lowers them.
"""

from __future__ import annotations

from tvm import s_tir, tirx
from tvm.ir import Call
from tvm_ffi import structural_map

from modeldyno.compiler.loops.loops import Statement, loop_with, sequence, with_body
from modeldyno.compiler.subexpressions.formulas import Formulas, branches, has_formulas, is_formula
from modeldyno.compiler.subexpressions.values import has_names, named


def hold_in_registers(func: tirx.PrimFunc, formulas: Formulas) -> tirx.PrimFunc:
    """Give a scheduled function with its formulas written out, a small buffer for each name.

    A name in one branch of a choice stays one: what it stands for may not be computed outside of it.
    """
    if not (has_names(func.body) or has_formulas(func.body)):
        return func
    return func.with_body(_Writer(formulas).held(func.body, None))


class _Vector:
    """The loop whose trips become lanes of vectors, and the buffers that it needs: a number for each lane."""

    def __init__(self, loop: tirx.For) -> None:
        self.place, self.lanes = loop.loop_var, int(loop.extent)
        self.buffers: list[tirx.Buffer] = []


class _Writer:
    """Goes through a function's statements."""

    def __init__(self, formulas: Formulas) -> None:
        self._formulas = formulas

    def held(self, node: Statement, vector: _Vector | None) -> Statement:
        """Give a statement without names; it may lie in the loop of a vector."""
        if isinstance(node, tirx.SeqStmt):
            return tirx.SeqStmt([self.held(each, vector) for each in node.seq])
        if isinstance(node, tirx.IfThenElse):
            other = None if node.else_case is None else self.held(node.else_case, vector)
            return tirx.IfThenElse(node.condition, self.held(node.then_case, vector), other)
        if isinstance(node, s_tir.SBlockRealize):
            block = with_body(node.block, self.held(node.block.body, vector))
            return s_tir.SBlockRealize(node.iter_values, node.predicate, block)
        if isinstance(node, tirx.For):
            return self._loop(node, vector)
        if isinstance(node, tirx.BufferStore) and (has_names(node.value) or has_formulas(node.value)):
            return _Store(vector, self._formulas).statement(node)
        return node

    def _loop(self, loop: tirx.For, vector: _Vector | None) -> Statement:
        if vector is not None or int(loop.kind) != int(tirx.ForKind.VECTORIZED):
            return loop_with(loop, self.held(loop.body, vector))
        vector = _Vector(loop)
        changed = loop_with(loop, self.held(loop.body, vector))
        return sequence([*(tirx.AllocBuffer(buffer) for buffer in vector.buffers), changed])


class _Store:
    """One store whose value has names, as stores to registers and the store."""

    def __init__(self, vector: _Vector | None, formulas: Formulas) -> None:
        self._vector, self._formulas = vector, formulas
        self._buffers: list[tirx.Buffer] = []
        self._stores: list[Statement] = []
        self._reads: dict[tirx.Var, tirx.Expr] = {}
        self._later: dict[tirx.Var, tirx.Expr] = {}

    def statement(self, store: tirx.BufferStore) -> Statement:
        """Give all statements in their order."""
        value = self._expression(store.value)
        allocations = []
        if self._vector is None:
            allocations = [tirx.AllocBuffer(buffer) for buffer in self._buffers]
        else:
            self._vector.buffers += self._buffers
        return sequence([*allocations, *self._stores, tirx.BufferStore(store.buffer, value, store.indices)])

    def _expression(self, expr: tirx.Expr) -> tirx.Expr:
        changes = [(tirx.Let, self._let), ((tirx.Select, Call), self._choice), (tirx.Var, self._var)]
        outer, self._later = self._later, {}
        found = structural_map(expr, changes, order="pre")
        later, self._later = self._later, outer
        return structural_map(found, (tirx.Var, lambda var: later.get(var, var))) if later else found

    def _var(self, var: tirx.Var) -> tirx.Expr:
        return self._reads.get(var, var)

    def _let(self, node: tirx.Let) -> tirx.Expr:
        while isinstance(node, tirx.Let):
            held = named(self._expression(node.value), node.var.name)  # a truth value as a number
            lanes = self._vector.lanes if self._vector else 1
            place = self._vector.place if self._vector else tirx.const(0, "int32")
            buffer = tirx.decl_buffer((lanes,), str(held.name.ty.dtype), node.var.name, scope="local")
            self._buffers.append(buffer)
            self._stores.append(tirx.BufferStore(buffer, held.held, [place]))
            read = tirx.BufferLoad(buffer, [place])
            truth = tirx.NE(read, tirx.const(0, str(read.ty.dtype)))
            self._reads[node.var] = truth if str(node.var.ty.dtype) == "bool" else read
            node = node.body
        return self._var(node) if isinstance(node, tirx.Var) else self._choice(node)

    def _choice(self, node: tirx.Expr) -> tirx.Expr:
        """Write a formula out, but not where only one branch of a choice is: a word stands for the choice."""
        if is_formula(node):
            return self._let(self._formulas.written_out(node))
        found = branches(node)
        if found is None or not any(has_names(each) or has_formulas(each) for each in found[1]):
            return node
        parts = [self._expression(found[0]), *map(self._branch, found[1])]
        word = tirx.Var("choice", node.ty)
        self._later[word] = (
            Call(node.op, parts, node.attrs, node.ty_args, ret_ty=node.ty)
            if isinstance(node, Call)
            else tirx.Select(*parts)
        )
        return word

    def _branch(self, node: tirx.Expr) -> tirx.Expr:
        def write_out(call: Call) -> tirx.Expr:
            return self._formulas.written_out(call) if is_formula(call) else call

        return structural_map(node, [(Call, write_out), (tirx.Var, self._var)])
