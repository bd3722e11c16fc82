"""Runs inside the emulator, by the Python there, beside a bundle's libraries; imports no compiler.

    guest.py FOLDER REPEAT ARTIFACT...

FOLDER/0, FOLDER/1, … belong to the artifacts in turn: inputs are 0.npy, 1.npy, … in the manifest's order, the
outputs go to out0.npy, out1.npy, …
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Run each artifact on the inputs in its folder."""
    sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
    from modeldyno.base.errors import DynoError

    folder, repeat = Path(sys.argv[1]), int(sys.argv[2])
    for number, artifact in enumerate(sys.argv[3:]):
        sys.stderr.write(f"running {artifact}\n")  # the last line tells which one crashed
        try:
            run(Path(artifact), folder / str(number), repeat)
        except DynoError as error:
            sys.exit(f"error: {error}")


def run(artifact: Path, folder: Path, repeat: int) -> None:
    """Run an artifact on the inputs in a folder, and write its outputs there."""
    import numpy as np

    from modeldyno.runtime.open import open_session

    session = open_session(artifact, threads=1)
    feeds = {
        spec.name: np.load(folder / f"{number}.npy", allow_pickle=False)
        for number, spec in enumerate(session.inputs)
    }
    for _ in range(repeat):
        outputs = session.run(feeds)
    for number, array in enumerate(outputs.values()):
        np.save(folder / f"out{number}.npy", array, allow_pickle=False)


if __name__ == "__main__":
    main()
