"""The result folder of a gate: each block as it ends, so that what was measured before an interrupt is kept.

gate.json            the GateRecord; there once the gate has ended
blocks.jsonl         every block, a BlockRecord a line (trials/compare/records.py)
logs/                what the servers said: baseline.log and candidate.log, of their last start
profiles/            of a regression: profiles of both sides, which the kernels are from
steps/               of --bisect: a folder as this one for each judgement
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from modeldyno.base.files import mapped_output_errors
from modeldyno.trials.compare.blocks import Block
from modeldyno.trials.compare.records import block_record

GATE_FILE, BLOCKS_FILE, PROFILES = "gate.json", "blocks.jsonl", "profiles"


@contextmanager
def kept_blocks(folder: Path) -> Iterator[Callable[[Block], None]]:
    """Give what writes a block down; the answer of a gate before is gone.

    Raises:
        OutputError: the folder can't be written.
    """
    with mapped_output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / GATE_FILE).unlink(missing_ok=True)
        stream = (folder / BLOCKS_FILE).open("w")

    def keep(block: Block) -> None:
        if block.seconds > 0:
            with mapped_output_errors(folder):
                stream.write(block_record(block).model_dump_json() + "\n")
                stream.flush()

    with stream:
        yield keep
