"""Write what every compile of the net does now: `python -m tests.replay [NAME ...]`.

The commit that holds the new records says why they changed. The kernels' revision, which measured times are
kept under, follows from them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from modeldyno.base.files import write_text
from tests.replay.golden import golden, revision, write_revision
from tests.replay.nets import NETS
from tests.replay.record import record


def main(names: list[str]) -> None:
    """Write the records of these nets, or of all."""
    for name in names or NETS:
        with tempfile.TemporaryDirectory(prefix="dyno-replay-") as folder:
            text = record(NETS[name], Path(folder))
        same = golden(name).exists() and golden(name).read_text(encoding="utf-8") == text
        write_text(golden(name), text)
        sys.stderr.write(f"{name}: {'as before' if same else 'changed'}\n")
    write_revision(revision())


if __name__ == "__main__":
    main(sys.argv[1:])
