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
        loads = tall + vectors
        weights = vectors * self.lanes * 4 / 40
        step = max(tall * vectors / 2, loads / 2, 4.0, weights)
        tiles = math.ceil(rows / tall) * math.ceil(columns / tile[1])
        conflict = CONFLICT if _lines_of_a_set(tall, row_bytes) > SET_LINES else 1.0
        return round(tiles * (step + 0.1 * tall + 0.5 * vectors) * conflict, 3)

    def weight_cycles(self, size: int) -> float:
        """Cycles that `size` bytes of weights cost beyond those of the sums that go on meanwhile."""
        return size / BYTES_A_CYCLE

    def most_rows(self, column_tile: int) -> int:
        """Rows of a tile whose sums, with a row of weights and one input, fill the registers."""
        vectors = max(1, column_tile // self.lanes)
        return max(1, (self.registers - 1 - vectors) // vectors)


def _lines_of_a_set(rows: int, row_bytes: int) -> int:
    """Lines that rows of an input, each read at its own place, want to have in one set of the cache."""
    if not row_bytes:
        return 0
    return math.ceil(rows * math.gcd(row_bytes, SET_STRIDE_BYTES) / SET_STRIDE_BYTES)
