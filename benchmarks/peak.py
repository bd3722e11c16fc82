"""How fast one core of this machine multiplies and adds float32 numbers at best: measured here.

    python -m benchmarks.peak

A loop of fused multiply-adds on vectors that never leave their registers: 12 independent sums hide the
latency of 4 or 5 cycles on two units. TVM generates the code, so that no C compiler is needed.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from modeldyno.base.files import write_text
from modeldyno.base.process.procs import end_with_parent

SUMS = 12
STEPS = 1_000_000  # of the loop: 12 vectors each, a few milliseconds
RUNS = 60  # short and many, so that some fall between the interruptions


def peak_gflops(name: str = "host") -> float:
    """Best rate of several runs on one core, in 10^9 operations a second (a multiply-add counts two).

    `name` is a target that this machine can run: its vectors are used.
    """
    from modeldyno.base.host.facts import host_facts
    from modeldyno.compiler.targets.catalog import resolve_target

    target = resolve_target(name, host_facts())
    lanes = target.machine.lanes
    run = peak_kernel(target.tvm_target(), lanes)
    seconds = min(_seconds(run, lanes) for _ in range(RUNS))
    return 2.0 * SUMS * lanes * STEPS / seconds / 1e9


def peak_kernel(target: Any, lanes: int) -> Any:
    """Compile the loop for a TVM target; called with x [lanes], y [lanes], out [12, lanes] and the steps."""
    import tvm
    from tvm.script import tirx as T  # noqa: N812 - the name that TVM's parser looks for

    @T.prim_func(s_tir=True)
    def fused(x_in: T.handle, y_in: T.handle, out_in: T.handle, steps: T.int64) -> None:
        T.func_attr({"global_symbol": "fused", "tirx.noalias": True})
        x = T.match_buffer(x_in, (lanes,), "float32")
        y = T.match_buffer(y_in, (lanes,), "float32")
        out = T.match_buffer(out_in, (SUMS, lanes), "float32")
        sums = T.alloc_buffer((SUMS, lanes), "float32", scope="local")
        for place in T.unroll(SUMS):
            for lane in T.vectorized(lanes):
                sums[place, lane] = out[place, lane]
        for _ in T.serial(steps):
            for place in T.unroll(SUMS):
                for lane in T.vectorized(lanes):
                    sums[place, lane] = sums[place, lane] * x[lane] + y[lane]
        for place in T.unroll(SUMS):
            for lane in T.vectorized(lanes):
                out[place, lane] = sums[place, lane]

    return tvm.compile(tvm.IRModule({"fused": fused}), target=target)


def loop_instructions(assembly: str) -> list[str]:
    """Return the instructions of the first loop that multiplies and adds in LLVM's assembly of a kernel."""
    lines = [line.split("#")[0].strip() for line in assembly.splitlines()]
    lines = [line for line in lines if not line.startswith((".loc", ".Ltmp"))]
    adds = [index for index, line in enumerate(lines) if re.match(r"v?fm(add|la)", line)]
    if not adds:
        return []
    begin = max(index for index in range(adds[0]) if lines[index].endswith(":"))
    end = next(i for i in range(adds[0], len(lines)) if re.match(r"(j[a-z]+|b\.?[a-z]*|cbn?z)\s", lines[i]))
    return [line for line in lines[begin + 1 : end + 1] if line]


def _seconds(run: Any, lanes: int) -> float:
    import tvm

    # The sums settle at y / (1 - x) = 2: no value overflows or becomes denormal.
    arrays = [np.full(lanes, 0.5, np.float32), np.ones(lanes, np.float32), np.ones((SUMS, lanes), np.float32)]
    tensors = [tvm.runtime.tensor(array) for array in arrays]
    began = time.perf_counter()
    run["fused"](*tensors, STEPS)
    return time.perf_counter() - began


def main(answer: str = "", target: str = "host") -> None:
    """Print the peak as JSON, or write it to the file `answer`."""
    end_with_parent()
    text = json.dumps({"peak_gflops": round(peak_gflops(target), 1)})
    if answer:
        write_text(Path(answer), text)
    else:
        print(text)


if __name__ == "__main__":
    main(*sys.argv[1:3])
