"""Tensor programs written down loop by loop: statements over vectors, and the register tile of a product.

For kernels whose stages share buffers in ways a schedule can't say (attention: one block of scores between
two products). What is built here carries the attribute SCHEDULED, so no rule touches it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tvm import s_tir, tirx
from tvm.ir import PrimType

from modeldyno.compiler.loops.loops import Statement, sequence
from modeldyno.compiler.loops.marks import FLOPS, SCHEDULED

# TVM's number for "can't be fused": FuseOps leaves the call alone.
OPAQUE = 8

Emit = Callable[[tirx.Expr], Statement]


def number(value: float, lanes: int = 1) -> tirx.Expr:
    """A float32 constant, in every lane."""
    return spread_lanes(tirx.const(value, "float32"), lanes)


def spread_lanes(value: tirx.Expr, lanes: int) -> tirx.Expr:
    """One number in every lane of a vector."""
    return tirx.Broadcast(value, lanes) if lanes > 1 else value


def load(buffer: tirx.Buffer, start: tirx.Expr | int, lanes: int = 1) -> tirx.Expr:
    """Read `lanes` numbers of a flat buffer from `start`."""
    return tirx.BufferLoad(buffer, [tirx.Ramp(start, 1, lanes) if lanes > 1 else start])


def store(buffer: tirx.Buffer, start: tirx.Expr | int, value: tirx.Expr, lanes: int = 1) -> Statement:
    """Write `lanes` numbers to a flat buffer from `start`."""
    return tirx.BufferStore(buffer, value, [tirx.Ramp(start, 1, lanes) if lanes > 1 else start])


def local(size: int, name: str) -> tirx.Buffer:
    """A flat float32 buffer of one thread; `allocate` it."""
    return tirx.decl_buffer((size,), "float32", name, scope="local")


def allocate(buffers: Sequence[tirx.Buffer]) -> list[Statement]:
    """Statements that give local buffers their place: the stack, or for large ones a call of the runtime."""
    return [tirx.AllocBuffer(buffer) for buffer in buffers]


def loop(extent: tirx.Expr | int, emit: Emit, *, parallel: bool = False) -> Statement:
    """Repeat what `emit` gives for the loop variable; no loop where it runs once."""
    if isinstance(extent, int) and extent == 1:
        return emit(tirx.const(0, "int32"))
    variable = tirx.Var("i", "int32")
    kind = tirx.ForKind.PARALLEL if parallel else tirx.ForKind.SERIAL
    size = tirx.const(extent, "int32") if isinstance(extent, int) else extent
    return tirx.For(variable, tirx.const(0, "int32"), size, kind, emit(variable))


def bind(value: tirx.Expr, lanes: int) -> tuple[Statement, tirx.Var]:
    """Compute a value once: the statement that does, and the variable that holds it."""
    variable = tirx.Var("v", PrimType(f"float32x{lanes}" if lanes > 1 else "float32"))
    return tirx.Bind(variable, value), variable


def pieces(size: int, lanes: int) -> list[tuple[int, int]]:
    """Cut `size` numbers into (start, lanes): whole vectors, then ever shorter ones, none beyond the end."""
    found, start = [], 0
    while start < size:
        while lanes > size - start:
            lanes //= 2
        found.append((start, lanes))
        start += lanes
    return found


def register_product(
    tile: tuple[int, int],
    depth: tirx.Expr | int,
    lanes: int,
    *,
    sums: tirx.Buffer,
    left: Callable[[int, tirx.Expr | int], tirx.Expr],
    right: Callable[[int, tirx.Expr | int], tirx.Expr],
    finish: Callable[[int, int, tirx.Expr], Statement],
    begin: Callable[[int, int], tirx.Expr] | None = None,
) -> Statement:
    """Sum left(row, k) * right(vector, k) over k < depth for a tile of (rows, vectors), sums in registers.

    `sums` is a local buffer of all rows * vectors * lanes: LLVM keeps it in registers while the loop runs.
    `left` gives one number and `right` a vector; `finish(row, vector, sum)` says what becomes of a sum, and
    `begin(row, vector)` what it starts from (zero without it).
    """
    rows, vectors = tile
    places = [(row, vector) for row in range(rows) for vector in range(vectors)]

    def at(row: int, vector: int) -> int:
        return (row * vectors + vector) * lanes

    def step(k: tirx.Expr | int) -> Statement:
        statements, weights = [], []
        for vector in range(vectors):
            statement, weight = bind(right(vector, k), lanes)
            statements.append(statement)
            weights.append(weight)
        for row in range(rows):
            statement, factor = bind(spread_lanes(left(row, k), lanes), lanes)
            statements.append(statement)
            for vector in range(vectors):
                value = load(sums, at(row, vector), lanes) + factor * weights[vector]
                statements.append(store(sums, at(row, vector), value, lanes))
        return sequence(statements)

    start = begin or (lambda _row, _vector: number(0, lanes))
    return sequence(
        [
            *(store(sums, at(*place), start(*place), lanes) for place in places),
            loop(depth, step),
            *(finish(*place, load(sums, at(*place), lanes)) for place in places),
        ]
    )


def transposed(rows: list[tirx.Expr]) -> tuple[list[Statement], list[tirx.Expr]]:
    """Transpose as many vectors as they have lanes: the statements, and the transposed vectors.

    In log2(lanes) rounds of shuffles; each swaps the off-diagonal blocks of `step` lanes between the rows
    that are `step` apart.
    """
    lanes = len(rows)
    statements: list[Statement] = []
    rows = _held(rows, statements)
    step = 1
    while step < lanes:
        low = [i if not i & step else i - step + lanes for i in range(lanes)]
        high = [i + step if not i & step else i + lanes for i in range(lanes)]
        after = list(rows)
        for row in (row for row in range(lanes) if not row & step):
            pair = [rows[row], rows[row + step]]
            after[row], after[row + step] = _shuffled(pair, low), _shuffled(pair, high)
        rows = _held(after, statements)
        step *= 2
    return statements, rows


def _held(values: list[tirx.Expr], statements: list[Statement]) -> list[tirx.Expr]:
    bound = [bind(value, len(values)) for value in values]
    statements += [statement for statement, _ in bound]
    return [variable for _, variable in bound]


def _shuffled(pair: list[tirx.Expr], indices: list[int]) -> tirx.Expr:
    return tirx.Shuffle(pair, [tirx.const(index, "int32") for index in indices])


def program(
    shapes: Sequence[tuple[int, ...]], emit: Callable[..., Statement], *, name: str, flops: int
) -> tirx.PrimFunc:
    """A tensor program over float32 tensors of `shapes`, the last written; emit(*flat buffers) is its body.

    `flops` are its useful operations, for the kernel's facts.
    """
    params = [tirx.decl_buffer(shape, "float32", f"t{place}") for place, shape in enumerate(shapes)]
    flats, views = [], []
    for param, shape in zip(params, shapes, strict=True):
        size = 1
        for dim in shape:
            size *= dim
        flat = tirx.decl_buffer((size,), "float32", "flat")
        flats.append(flat)
        views.append(tirx.DeclBuffer(flat, data=param.data))
    inner = s_tir.SBlock([], [], [], name, sequence([*views, emit(*flats)]), annotations={FLOPS: flops})
    root = s_tir.SBlock([], [], [], "root", s_tir.SBlockRealize([], True, inner))
    func = tirx.PrimFunc(params, s_tir.SBlockRealize([], True, root))
    return func.with_attrs(
        {"tirx.noalias": True, "s_tir": True, SCHEDULED: True, "op_pattern": OPAQUE, "global_symbol": name}
    )
