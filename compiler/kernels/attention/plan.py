"""What an attention kernel goes by: its sizes, and how keys and queries are cut into blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from tvm import tirx

from modeldyno.compiler.loops.panels import Panels, RowBlocks
from modeldyno.compiler.targets.machine import Machine

# Units of work that all cores together should find, at least: few enough that K is not packed too often.
_UNITS = 8
# Most queries of a unit where keys come in blocks: its results stay in the cache between them.
_FLASH_QUERIES = 512
LOWEST = -3.4028234663852886e38  # the least finite float32
NO_SCORE = -math.inf  # what a masked key scores, and keys that there are none of


@dataclass(frozen=True)
class Sizes:
    """Attention over float32 tensors [batch, queries, heads, depth], keys and values [batch, keys, heads, .].

    `mask` is the shape of what is added to the scores [batch, heads, queries, keys], 1 where it is the same
    along an axis; None without a mask.
    """

    batch: int
    heads: int
    queries: int
    keys: int
    depth: int
    value_depth: int
    mask: tuple[int, int, int, int] | None = None

    @property
    def flops(self) -> int:
        """Multiplies and adds of the two products."""
        points = self.batch * self.heads * self.queries * self.keys
        return 2 * points * (self.depth + self.value_depth)

    def mask_fits(self) -> bool:
        """Whether the mask is one that the kernel can read."""
        if self.mask is None:
            return True
        *lead, keys = self.mask
        sizes = (self.batch, self.heads, self.queries)
        return keys == self.keys and all(dim in (1, size) for dim, size in zip(lead, sizes, strict=True))


@dataclass(frozen=True)
class Plan:
    """How the work on `sizes` is cut for a machine."""

    sizes: Sizes
    scale: float
    machine: Machine

    @cached_property
    def key_block(self) -> int:
        """Keys that are at hand at once, a multiple of the vector: all, or as many as the cache holds."""
        lanes, sizes = self.machine.lanes, self.sizes
        per_key = 4 * (sizes.depth + sizes.value_depth + self.machine.most_rows(2 * lanes))
        most = max(2 * lanes, 2 * self.machine.block_bytes // per_key)
        blocks = math.ceil(sizes.keys / most)
        return math.ceil(math.ceil(sizes.keys / blocks) / lanes) * lanes

    @cached_property
    def key_blocks(self) -> int:
        """Blocks of keys: one where all are at hand at once."""
        return math.ceil(self.sizes.keys / self.key_block)

    @cached_property
    def scores_tile(self) -> Panels:
        """The transposed keys of one block, packed."""
        return Panels(self.key_block, self.sizes.depth, self.machine.lanes)

    @cached_property
    def values_tile(self) -> Panels:
        """The values of one block, packed."""
        return Panels(self.sizes.value_depth, self.key_block, self.machine.lanes)

    @cached_property
    def row_blocks(self) -> RowBlocks:
        """Queries in blocks of the register tile's rows, shared among units of work."""
        sizes = self.sizes
        rows = self.machine.most_rows(2 * self.machine.lanes)
        blocks = math.ceil(sizes.queries / rows)
        chunks = math.ceil(_UNITS / (sizes.batch * sizes.heads))
        if self.key_blocks > 1:
            chunks = max(chunks, math.ceil(sizes.queries / _FLASH_QUERIES))
        # At least eight blocks a chunk: packing K and V costs as much as one or two of them.
        return RowBlocks(sizes.queries, blocks, min(chunks, max(1, blocks // 8)))

    @property
    def in_blocks(self) -> bool:
        """Whether keys come in blocks, so that sums are carried from one to the next."""
        return self.key_blocks > 1

    def valid(self, start: tirx.Expr | int) -> tirx.Expr | int:
        """Keys of the block that begins at `start`."""
        return tirx.min(self.key_block, self.sizes.keys - start) if self.in_blocks else self.sizes.keys
