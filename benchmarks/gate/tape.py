"""The tape: blocks of one service against itself, as real servers gave them, in a compressed file a segment.

Within a block latencies are sorted, so that their differences are small: these are stored, in planes of
bytes, under xz. Reading gives the very blocks that were measured.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from modeldyno.base.records.record import HostFacts
from modeldyno.trials.compare.blocks import Block, Pair, Readings, pairs_of
from modeldyno.trials.compare.taint import TaintLimits, sort_pairs

FOLDER = Path(__file__).parent / "tape"
SUFFIX = ".tape.xz"
SIDES = ("a", "b")
EPOCH_S = 16.0
_INTS = ("side", "round", "epoch", "position", "errors", "requests")
_FLOATS = ("start_s", "seconds", "cpu_s")
_READINGS = tuple(field.name for field in fields(Readings))
_BYTES = 4


@dataclass(frozen=True)
class Segment:
    """Blocks that were recorded in one go."""

    head: dict[str, Any]
    """`host`, `recorded_at`, `services` (name: units of work), `service_of` (of each epoch), `foreign`,
    `taint` (limits fixed before the first block of each service)."""
    blocks: tuple[Block, ...]

    @property
    def host(self) -> HostFacts:
        """Where it was recorded."""
        return HostFacts.model_validate(self.head["host"])


@dataclass(frozen=True)
class TapeEpoch:
    """One start of both sides and its pairs; `tainted` has the numbers of those that were disturbed."""

    service: str
    segment: str
    foreign: bool
    pairs: tuple[Pair, ...]
    tainted: frozenset[int]


def write_segment(path: Path, segment: Segment) -> None:
    """Write a segment; the file is there whole or not at all."""
    arrays = _arrays(segment.blocks)
    head = {**segment.head, "arrays": {name: [str(each.dtype), len(each)] for name, each in arrays.items()}}
    text = json.dumps(head).encode()
    parts = [len(text).to_bytes(8, "little"), text, *(_planes(each) for each in arrays.values())]
    partial = path.with_suffix(".part")
    partial.write_bytes(lzma.compress(b"".join(parts), preset=9 | lzma.PRESET_EXTREME))
    partial.rename(path)


def read_segment(path: Path) -> Segment:
    """Read what `write_segment` wrote."""
    data = lzma.decompress(path.read_bytes())
    size = int.from_bytes(data[:8], "little")
    head, place = json.loads(data[8 : 8 + size]), 8 + size
    arrays = dict[str, npt.NDArray[Any]]()
    for name, (kind, count) in head.pop("arrays").items():
        width = np.dtype(kind).itemsize * count
        arrays[name] = _from_planes(data[place : place + width], np.dtype(kind))
        place += width
    return Segment(head, tuple(_blocks(arrays)))


def segments(folder: Path = FOLDER) -> list[tuple[str, Segment]]:
    """All segments of a folder, by name."""
    return [(path.name, read_segment(path)) for path in sorted(folder.glob(f"*{SUFFIX}"))]


def epochs(found: Sequence[tuple[str, Segment]], service: str) -> list[TapeEpoch]:
    """The epochs of a service, in the order in which they were recorded."""
    made = []
    for name, segment in found:
        limits = {each: TaintLimits(**taken) for each, taken in segment.head["taint"].items()}
        by_epoch: dict[int, list[Block]] = {}
        for block in segment.blocks:
            by_epoch.setdefault(block.epoch, []).append(block)
        for number, blocks in sorted(by_epoch.items()):
            if segment.head["service_of"][number] != service:
                continue
            pairs = pairs_of(blocks, *SIDES)
            tainted = frozenset(pair.number for pair in sort_pairs(pairs, limits[service]).tainted)
            made.append(TapeEpoch(service, name, bool(segment.head["foreign"]), pairs, tainted))
    return made


def _arrays(blocks: Sequence[Block]) -> dict[str, npt.NDArray[Any]]:
    ints = {
        "side": [SIDES.index(block.candidate) for block in blocks],
        **{name: [getattr(block, name) for block in blocks] for name in _INTS[1:]},
    }
    floats = {name: [_number(getattr(block, name)) for block in blocks] for name in _FLOATS}
    read = {name: [_number(getattr(block.readings, name)) for block in blocks] for name in _READINGS}
    steps = [np.diff(block.latency_us, prepend=0) for block in blocks]
    return {
        **{name: np.array(values, np.int32) for name, values in ints.items()},
        **{name: np.array(values, np.float64) for name, values in floats.items()},
        **{name: np.array(values, np.float32) for name, values in read.items()},
        "steps": np.concatenate(steps).astype(np.uint32),
    }


def _blocks(arrays: dict[str, npt.NDArray[Any]]) -> list[Block]:
    ends = np.cumsum(arrays["requests"])
    made = []
    for row, end in enumerate(ends):
        steps = arrays["steps"][end - arrays["requests"][row] : end].astype(np.int64)
        readings = Readings(**{name: _value(arrays[name][row]) for name in _READINGS})
        made.append(
            Block(
                candidate=SIDES[int(arrays["side"][row])],
                **{name: int(arrays[name][row]) for name in ("round", "epoch", "position", "errors")},
                start_s=float(arrays["start_s"][row]),
                seconds=float(arrays["seconds"][row]),
                cpu_s=_value(arrays["cpu_s"][row]),
                latency_us=np.cumsum(steps),
                readings=readings,
            )
        )
    return made


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _value(number: float) -> float | None:
    return None if np.isnan(number) else float(number)


def _planes(array: npt.NDArray[Any]) -> bytes:
    """The first byte of each number, then the second, and so on."""
    return np.ascontiguousarray(array.view(np.uint8).reshape(len(array), -1).T).tobytes()


def _from_planes(data: bytes, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    planes = np.frombuffer(data, np.uint8).reshape(kind.itemsize, -1)
    found: npt.NDArray[Any] = np.ascontiguousarray(planes.T).view(kind).ravel()
    return found


def taint_of(limits: TaintLimits) -> dict[str, float]:
    """For a segment's head."""
    return asdict(limits)
