"""Runs the models of seeds one after the other; its own process may die on any of them.

Arguments: first seed, the seed behind the last, a JSON-lines file to append to, and a folder to keep models
in (or nothing). {"seed", "phase"} is written before each seed, and one line with what it came to after.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

from modeldyno.base.process.procs import end_with_parent


def main(first: int, behind: int, results: Path, keep: Path | None = None) -> None:
    """Run the seeds in order."""
    end_with_parent()
    warnings.simplefilter("ignore")
    from benchmarks.fuzz.kinds import run_seed

    with results.open("a") as stream:
        for seed in range(first, behind):
            for record in ({"seed": seed, "phase": "begin"}, None):
                stream.write(json.dumps(record or run_seed(seed, keep)) + "\n")
                stream.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), *map(Path, sys.argv[4:]))
