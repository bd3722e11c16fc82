"""What can be chosen for a kernel, how it is chosen without measuring, and what else is worth a try."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from compiler.schedules.machine import Machine
from compiler.schedules.winograd import TAPS, Tiling, winograd_tilings

# A Winograd kernel must promise to be this much faster than the direct one: its sums are less exact.
DIRECT_MARGIN = 0.95


@dataclass(frozen=True)
class Workload:
    """A product whose weights are known: a convolution (NHWC) or a matrix product.

    A matrix product [rows, depth] * [depth, channels] is a 1x1 convolution of a single line of `rows` pixels.
    """

    kind: str  # conv2d or dense
    batch: int
    image: tuple[int, int]  # height and width of the input
    out: tuple[int, int]  # height and width of the output
    depth: int
    channels: int
    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, left, bottom, right
    dilation: tuple[int, int] = (1, 1)

    def record(self) -> dict[str, Any]:
        """Give it as plain values, for a key that outlives the process."""
        return asdict(self)

    @property
    def row_bytes(self) -> int:
        """Bytes between two neighbours in a row of outputs, in the input."""
        return self.depth * self.strides[1] * 4

    @property
    def flops(self) -> int:
        """Floating point operations as the model defines them: two a multiply-add."""
        return 2 * self.batch * math.prod((*self.out, self.depth, self.channels, *self.kernel))


@dataclass(frozen=True)
class Choice:
    """How one product is computed."""

    rows: int  # rows and columns of the register tile
    columns: int
    block: int = 0  # column tiles that share a walk over all rows; 0 goes by the size of the cache
    winograd: Tiling | None = None  # None is the direct way

    def record(self) -> dict[str, Any]:
        """Give it as plain values."""
        return asdict(self)

    @staticmethod
    def from_record(record: dict[str, Any]) -> Choice:
        """Give the choice back; the inverse of `record`."""
        tiling = record.get("winograd")
        return Choice(**{**record, "winograd": Tiling(**tiling) if tiling else None})


Chooser = Callable[[Workload, Machine], Choice]


def choose(workload: Workload, machine: Machine) -> Choice:
    """Choose by a count of cycles."""
    direct = choose_direct(workload, machine)
    found = _winograds(workload, machine)
    if not found:
        return direct
    cycles, tiling = min(found, key=lambda pair: pair[0])
    if cycles > DIRECT_MARGIN * _direct_cycles(workload, machine, direct):
        return direct
    return Choice(tiling.rows, tiling.columns, winograd=tiling)


def candidates(workload: Workload, machine: Machine, most: int = 24) -> list[Choice]:
    """Choices worth measuring, the likely ones first; the first is what `choose` answers."""
    rows, channels, apart = workload.out[1], workload.channels, workload.row_bytes
    tiles = sorted(
        machine.tiles(rows, channels), key=lambda tile: machine.cycles(rows, channels, tile, apart)
    )
    direct = [Choice(*tile) for tile in tiles[: most // 3]]
    blocks = [replace(direct[0], block=size) for size in (1, 2, 4, 8)]
    winograds = [
        Choice(tiling.rows, tiling.columns, winograd=tiling)
        for _, tiling in sorted(_winograds(workload, machine), key=lambda pair: pair[0])
    ]
    ordered = [choose(workload, machine), *winograds[: most // 3], *direct, *blocks]
    return list(dict.fromkeys(ordered))[:most]


def choose_direct(workload: Workload, machine: Machine) -> Choice:
    """Choose the register tile of the direct way."""
    return Choice(*machine.tile(workload.out[1], workload.channels, workload.row_bytes))


def _direct_cycles(workload: Workload, machine: Machine, choice: Choice) -> float:
    taps = math.prod(workload.kernel) * workload.depth
    shape = (choice.rows, choice.columns)
    tile = machine.cycles(workload.out[1], workload.channels, shape, workload.row_bytes)
    return workload.out[0] * taps * tile + machine.weight_cycles(taps * workload.channels * 4)


def _winograds(workload: Workload, machine: Machine) -> list[tuple[float, Tiling]]:
    fits = workload.kernel == (TAPS, TAPS) and workload.strides == workload.dilation == (1, 1)
    if workload.kind != "conv2d" or not fits:
        return []
    return winograd_tilings(machine, workload.out, workload.depth, workload.channels)
