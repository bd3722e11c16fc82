"""The facts of a processor that loop orders depend on."""

from __future__ import annotations

import math
from dataclasses import dataclass

# Vectors side by side in a tile: more would leave too few rows to share their weights.
MOST_VECTORS = 6
BYTES_A_CYCLE = 5.0  # from beyond the second-level cache
# Lines at this distance fall into one set of the first-level cache (64 sets of 64 bytes), which holds at
# least so many of them: 8 of 32 KiB, 12 of 48 KiB.
SET_STRIDE_BYTES = 4096
SET_LINES = 8
CONFLICT = 1.1  # what a step costs more when the lines of a tile's rows push one another out
LATENCY = 4.0  # cycles after which a sum takes its next addend
# With 16 registers (AVX2, SSE) no multiply-add spreads an input itself: each is a load of its own. Measured
# over all 29 tiles of AVX2 on Zen 5: a load costs 0.56 cycles; the limits add up as the norm of this degree
# says, mostly within 5 %; of more than 12 sums LLVM keeps some in memory, at twice the time.
FEW_REGISTERS = 16
MOST_SUMS = 12
LOAD_CYCLES = 0.56
DEGREE = 3.6


@dataclass(frozen=True)
class Machine:
    """What a schedule needs to know of a core."""

    lanes: int  # float32 numbers in one vector register
    registers: int  # vector registers that the program can name
    l2_bytes: int = 1 << 20  # second-level cache of one core; the smallest of the servers in use

    @property
    def block_bytes(self) -> int:
        """Packed weights that are walked again and again: two such blocks and the input fit in the cache."""
        return self.l2_bytes // 4

    def tile(self, rows: int, columns: int, row_bytes: int = 0) -> tuple[int, int]:
        """Choose the (rows, columns) of a register tile for a product of rows * columns: least cycles.

        `row_bytes` lie between the beginnings of two rows of the input; 0 where that is not known.
        """
        return min(
            self.tiles(rows, columns),
            key=lambda tile: (self.cycles(rows, columns, tile, row_bytes), -tile[0]),
        )

    def tiles(self, rows: int, columns: int) -> list[tuple[int, int]]:
        """All register tiles whose sums, a row of weights and one input fit in the registers."""
        return [
            (tall, vectors * self.lanes)
            for vectors in range(1, min(MOST_VECTORS, math.ceil(columns / self.lanes)) + 1)
            for tall in range(1, min(self.most_rows(vectors * self.lanes), rows) + 1)
        ]

    def cycles(self, rows: int, columns: int, tile: tuple[int, int], row_bytes: int = 0) -> float:
        """Cycles of one reduction step over all tiles, ragged ones counted whole.

        Two multiply-adds and two loads start in a cycle; a sum takes its next addend after four; weights come
        from the second-level cache at about 40 bytes a cycle. Loads hide behind sums, but not for nothing:
        those of weights least.
        """
        tall, vectors = tile[0], tile[1] // self.lanes
        tiles = math.ceil(rows / tall) * math.ceil(columns / tile[1])
        conflict = CONFLICT if _lines_of_a_set(tall, row_bytes) > SET_LINES else 1.0
        step = self._few_step(tall, vectors) if self.registers <= FEW_REGISTERS else self._step(tall, vectors)
        return round(tiles * step * conflict, 3)

    def _step(self, tall: int, vectors: int) -> float:
        weights = vectors * self.lanes * 4 / 40
        return max(tall * vectors / 2, (tall + vectors) / 2, LATENCY, weights) + 0.1 * tall + 0.5 * vectors

    def _few_step(self, tall: int, vectors: int) -> float:
        """Cycles of one step of one tile with 16 registers."""
        weights = vectors * self.lanes * 4 / 40
        busy = max(tall * vectors / 2, LOAD_CYCLES * (tall + vectors), weights)
        return float((busy**DEGREE + LATENCY**DEGREE) ** (1 / DEGREE))

    def weight_cycles(self, size: int) -> float:
        """Cycles that `size` bytes of weights cost beyond those of the sums that go on meanwhile."""
        return size / BYTES_A_CYCLE

    def most_rows(self, column_tile: int) -> int:
        """Rows of a tile whose sums, with a row of weights and one input, fill the registers."""
        vectors = max(1, column_tile // self.lanes)
        sums = self.registers - 1 - vectors
        if self.registers <= FEW_REGISTERS:
            sums = min(sums, MOST_SUMS)
        return max(1, sums // vectors)


def _lines_of_a_set(rows: int, row_bytes: int) -> int:
    """Lines that rows of an input, each read at its own place, want to have in one set of the cache."""
    if not row_bytes:
        return 0
    return math.ceil(rows * math.gcd(row_bytes, SET_STRIDE_BYTES) / SET_STRIDE_BYTES)
