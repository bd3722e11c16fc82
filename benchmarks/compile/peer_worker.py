"""One peer in a process of its own: loads a model, then times inferences when it is told to.

Speaks JSON lines. First it says {"load_s", "how"} or {"error"}. To {"repeat": N, "warm": M} it answers
{"ms": [...]} after M inferences untimed; to {"memory": true}, {"peak_rss_mb"}. A process each, because thread
pools of several runtimes in one process spin against each other, and so that memory is one runtime's.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from benchmarks.compile.peers import PEERS, Job
from benchmarks.feeds import load_feeds
from benchmarks.timing import times_ms
from modeldyno.base.process.procs import end_with_parent

MIB = 1 << 20


def main(peer: str, folder: str, threads: str, *files: str) -> None:
    """Serve one peer until standard input ends; its outputs go to `folder`/`peer`.npz to be compared.

    `files` are the zoo's name of the model (may be empty), its ONNX file and dyno's artifact.
    """
    end_with_parent()
    answers = _own_stdout()
    began = time.perf_counter()
    try:
        feeds = load_feeds(Path(folder) / "feeds.npz")
        name, model, artifact = files
        loaded = PEERS[peer](Job(name, Path(model), Path(artifact), feeds, int(threads)))
        seconds = time.perf_counter() - began
        arrays = [np.array(array) for array in loaded.run()]
        np.savez(Path(folder) / f"{peer}.npz", *arrays)
    except Exception as error:  # whatever went wrong is a line of the report
        _say(answers, {"error": f"{type(error).__name__}: {_first_line(error)}"})
        return
    _say(answers, {"load_s": seconds, "how": loaded.how})
    _forget_peak()
    for line in sys.stdin:
        message = json.loads(line)
        if "memory" in message:
            _say(answers, {"peak_rss_mb": peak_rss_mb()})
        else:
            _say(answers, {"ms": times_ms(loaded.run, message["repeat"], warm=message["warm"])})


def peak_rss_mb() -> float:
    """Largest resident memory in MiB since the kernel was last told to forget it, else of the whole life."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        found = None
    kib = int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(kib * 1024 / MIB, 1)


def _forget_peak() -> None:
    """Let the peak begin anew, so that it is that of running and not of loading (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _own_stdout() -> TextIO:
    """Keep standard output for the answers; what libraries print goes to standard error."""
    stream = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return stream


def _say(answers: TextIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no message").splitlines()[0][:300]


if __name__ == "__main__":
    main(*sys.argv[1:7])
