"""The facts of a processor that loop orders depend on."""

from __future__ import annotations

import math
from dataclasses import dataclass


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

    def column_tile(self, columns: int) -> int:
        """Columns (output channels) that one tile holds: one or two vectors."""
        return self.lanes * 2 if columns > self.lanes else self.lanes

    def most_rows(self, column_tile: int) -> int:
        """Rows of a tile whose sums, with a row of weights and one input, fill the registers."""
        vectors = max(1, column_tile // self.lanes)
        return max(1, (self.registers - 1 - vectors) // vectors)

    def row_tile(self, rows: int, column_tile: int) -> int:
        """Rows (output pixels) that one tile holds, so that its sums stay in registers.

        Of the sizes that fit, the one that computes the fewest padded rows wins, then the largest: a tile of
        `row` rows and `vectors` vectors keeps row * vectors sums, `vectors` weights and one broadcast input.
        """
        vectors = max(1, column_tile // self.lanes)
        most = self.most_rows(column_tile)
        return min(range(1, min(most, rows) + 1), key=lambda tile: (padded_cost(rows, tile, vectors), -tile))


def padded_cost(rows: int, tile: int, vectors: int) -> float:
    """Relative time of `rows` rows in tiles of `tile`.

    Loads of weights are shared by a tile's rows, so small tiles pay more of them; and fewer than about eight
    sums in flight leave the two multiply-add units waiting for their own results (latency 4, two a cycle).
    """
    padded = math.ceil(rows / tile) * tile
    in_flight = tile * vectors
    stall = max(1.0, 8 / in_flight)
    return round(padded * stall * (1 + 0.25 / tile), 4)
