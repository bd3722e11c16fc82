"""Where the records lie, and the revision of the kernels that follows from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from modeldyno.base.files import write_text
from tests.replay.nets import NETS

ROOT = Path(__file__).parents[2]
REVISION_FILE = ROOT / "compiler" / "tuning" / "revision.py"
_TEXT = '''"""Which kernels measured times belong to: written by `python -m tests.replay`, held by a test."""

KERNELS_REVISION = "{}"  # digest of every scheduled kernel of the replayed models
'''


def golden(name: str) -> Path:
    """The file of what compiling this net does."""
    return ROOT / "tests" / "golden" / "compile" / f"{name}.txt"


def revision() -> str:
    """Digest of the scheduled kernels in all records."""
    state = hashlib.blake2b(digest_size=8)
    for name in NETS:
        state.update("\n".join(kernels(golden(name).read_text(encoding="utf-8"))).encode())
    return state.hexdigest()


def kernels(text: str) -> list[str]:
    """Give the lines of a record that tell of kernels: its place, its rule and its digest."""
    return list(_section(text.splitlines(), "kernels"))


def rules(text: str) -> set[str]:
    """Which schedule rules a record has used."""
    return {line.split()[1] for line in kernels(text)}


def write_revision(found: str) -> None:
    """Write the revision where the tuner reads it."""
    write_text(REVISION_FILE, _TEXT.format(found))


def _section(lines: Iterable[str], title: str) -> Iterable[str]:
    inside = False
    for line in lines:
        inside = line == title if not line.startswith("  ") else inside
        if inside and line != title:
            yield line
