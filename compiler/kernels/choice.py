"""What can be chosen for a kernel, how it is chosen without measuring, and what else is worth a try."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from modeldyno.compiler.kernels.grouped import depthwise_tiles, group_tiles, merged_groups
from modeldyno.compiler.kernels.winograd import TAPS, Tiling, winograd_tilings
from modeldyno.compiler.targets.machine import Machine

# A Winograd kernel must promise to be this much faster than the direct one: its sums are less exact.
DIRECT_MARGIN = 0.95
GROUPED = ("depthwise", "grouped")


# One element-wise operator behind a product: its name, then what it is applied to. "0" is the product, "2"
# the second step's result; "weight 1" and "data 1111" come from elsewhere: the digits say for each of the
# last axes whether it changes along them.
Step = tuple[str, ...]
Tail = tuple[Step, ...]
BIAS_RELU: Tail = (("add", "0", "weight 1"), ("nn.relu", "1"))


@dataclass(frozen=True)
class Workload:
    """A product whose weights are known, and what is done with it: a convolution (NHWC) or a matrix product.

    A matrix product [rows, depth] * [depth, channels] is a 1x1 convolution of a single line of `rows` pixels.
    """

    kind: str  # conv2d, dense, depthwise or grouped
    batch: int
    image: tuple[int, int]  # height and width of the input
    out: tuple[int, int]  # height and width of the output
    depth: int  # input channels that one output reads
    channels: int
    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, left, bottom, right
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    tail: Tail = BIAS_RELU

    def record(self) -> dict[str, Any]:
        """Give it as plain values, for a key that outlives the process.

        What older versions did not know is left out where it is as they took it to be.
        """
        values = asdict(self)
        if self.groups == 1:
            del values["groups"]
        if self.tail == BIAS_RELU:
            del values["tail"]
        return values

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
    unroll: bool = False  # of depthwise: the lines of the filter are written out

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
    if workload.kind in GROUPED:
        return grouped_candidates(workload, machine)[0]
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
    if workload.kind in GROUPED:
        return grouped_candidates(workload, machine)[:most]
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


def grouped_candidates(workload: Workload, machine: Machine) -> list[Choice]:
    """Tiles of a depthwise or grouped convolution, the likely ones first."""
    width = workload.out[1]
    if workload.kind == "grouped":
        per_group = workload.channels // workload.groups
        merged = merged_groups(workload.groups, per_group, machine.lanes)
        return [Choice(tile.rows, tile.columns) for tile in group_tiles(machine, width, merged * per_group)]
    return [
        Choice(tile.rows, tile.columns, unroll=unroll)
        for tile in depthwise_tiles(machine, width, workload.channels)
        for unroll in (False, True)
    ]


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
