"""Compiles one model in a process of its own, and writes the seconds that it took.

    python -m benchmarks.compile.dyno_artifact MODEL.onnx FOLDER ANSWER.json OPTIONS TARGET

OPTIONS are fields of `compiler.Options` as JSON; what is not named keeps its default.

The parity check is left out: the benchmark compares the outputs with the peers' itself.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from modeldyno.base.files import write_text
from modeldyno.base.process.procs import end_with_parent


def main(model: str, folder: str, answer: str, options: str = "{}", target: str = "host") -> None:
    """Compile, then write {"compile_s", "artifact_mb"} or {"error"} to `answer`."""
    end_with_parent()
    try:
        result = _compile(Path(model), Path(folder), json.loads(options), target)
    except Exception as error:  # whatever went wrong is a line of the report
        text = (str(error).strip() or "no message").splitlines()[0][:300]
        result = {"error": f"{type(error).__name__}: {text}"}
    write_text(Path(answer), json.dumps(result))


def _compile(model: Path, folder: Path, options: dict[str, Any], target: str) -> dict[str, Any]:
    from modeldyno.compiler import Options, compile_model

    began = time.perf_counter()
    compile_model(model, folder, target=target, options=Options(**options, verify=False))
    seconds = time.perf_counter() - began
    size = sum(path.stat().st_size for path in folder.iterdir())
    return {"compile_s": seconds, "artifact_mb": size / 1e6}


if __name__ == "__main__":
    main(*sys.argv[1:6])
