"""How much of ONNX compiles: the node tests of the `onnx` package, through compile, artifact and runtime.

    python -m benchmarks.conformance --json runs/conformance.json

Each test is one operator on given inputs with expected outputs, compared at the test's own tolerances. ONNX
Runtime runs each too: `native` counts the tests that it passes and modeldyno's compiled artifact passes as
well, of which `specialised` had an input that decides shapes made a constant. The others are compiled again
with `--fallback onnxruntime`: `with_fallback` counts those that pass then, and the native ones. `--json` also
keeps `FILE.tests.jsonl`, from which an interrupted run goes on with `--resume`.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.conformance.worker import load_cases
from modeldyno.base.command.console import say
from modeldyno.base.files import write_text
from modeldyno.base.process.procs import Child, python_module, start

WORKERS = 2
BATCH = 1000
TIMEOUT_S = 120.0
COMMAND = tuple(python_module("benchmarks.conformance.worker"))
_POLL_S = 0.2
Row = dict[str, Any]


class Worker:
    """One batch of tests in a process of its own, which is started anew behind a test that ended it."""

    def __init__(
        self, names: list[str], folder: Path, timeout_s: float, command: Sequence[str] = COMMAND
    ) -> None:
        self.rows: list[Row] = []
        self._left = names
        self._folder = folder
        self._timeout_s = timeout_s
        self._command = command
        self._results = folder / "results.jsonl"
        self._child = self._start()

    def poll(self) -> bool:
        """Take in what came out since; True when the batch is through."""
        ended = self._child.returncode() is not None  # asked first: what it wrote before is all there then
        lines = self._read()
        if self._left and (ended or time.monotonic() - self._moved > self._timeout_s):
            self._child.stop(grace_s=0.5)
            self._give_up(lines[-1] if lines else {}, "crash" if ended else "timeout")
        if self._left:
            return False
        self._child.stop()
        return True

    def stop(self) -> None:
        """End the process."""
        self._child.stop(grace_s=0.5)

    def _start(self) -> Child:
        names = self._folder / "names.txt"
        write_text(names, "\n".join(self._left))
        self._results.write_text("")
        self._seen, self._moved = 0, time.monotonic()
        command = [*self._command, str(names), str(self._results)]
        return start(command, log=self._folder / "log.txt", env={"OMP_NUM_THREADS": "1"})

    def _read(self) -> list[Row]:
        lines = [line for line in self._results.read_text().splitlines(keepends=True) if line.endswith("\n")]
        records: list[Row] = [json.loads(line) for line in lines]
        if len(records) > self._seen:
            self._moved = time.monotonic()
        done = [record for record in records[self._seen :] if "stage" in record]
        self._seen = len(records)
        self.rows.extend(done)
        finished = {record["test"] for record in done}
        self._left = [name for name in self._left if name not in finished]
        return records

    def _give_up(self, last: Row, how: str) -> None:
        """Count the test that the process died on, or hung in, as failed; go on behind it."""
        name = last["test"] if "phase" in last else self._left[0]
        tail = self._child.log_tail(3)
        reason = f"exit status {self._child.returncode()}: {tail}"[:300] if how == "crash" else "no answer"
        died = {"stage": how, "reason": reason}
        after = {"fallback_stage": how, "fallback_reason": reason}
        ours = last.get("phase") in ("native", "fallback")
        passes = ours and last.get("passes", False)
        self.rows.append({"test": name, "onnxruntime": passes, **last.get("native", died), **after})
        self._left = [other for other in self._left if other != name]
        if self._left:
            self._child = self._start()


def main(arguments: list[str] | None = None) -> None:
    """Run the tests from the command line; exit code 130 when it is interrupted."""
    args = _arguments(arguments)
    names = [case.name for case in load_cases() if fnmatch.fnmatch(case.name, args.only)][: args.limit]
    log = args.json.with_suffix(args.json.suffix + ".tests.jsonl") if args.json else None
    rows = _kept(log, names) if args.resume else []
    try:
        for row in _run(names, rows, log, args.timeout):
            rows.append(row)
    except KeyboardInterrupt:
        say("interrupted; `--resume` goes on from here" if log else "interrupted")
        raise SystemExit(130) from None
    document = summary(rows)
    if args.json:
        write_text(args.json, json.dumps(document, indent=2) + "\n")
    _print(document)


def summary(rows: list[Row]) -> Row:
    """Count what came out; `failures` are those that ONNX Runtime passes and the artifact doesn't."""
    counted = [row for row in rows if row["onnxruntime"]]
    native = [row for row in counted if not row["stage"]]
    left = sorted((row for row in counted if _left(row)), key=lambda row: str(row["test"]))
    failures = [
        {key: row[key] for key in ("test", "stage", "reason")}
        for row in sorted(counted, key=lambda row: str(row["test"]))
        if row["stage"]
    ]
    return {
        "total": len(rows),
        "onnxruntime_passes": len(counted),
        "native": len(native),
        "specialised": sum(bool(row.get("specialised")) for row in native),
        "native_beyond_onnxruntime": sum(not row["onnxruntime"] and not row["stage"] for row in rows),
        "with_fallback": len(counted) - len(left),
        "crashes": sum(bool({"crash", "timeout"} & {row["stage"], _left(row)}) for row in rows),
        "failures": failures,
        "failures_with_fallback": [
            {"test": row["test"], "stage": _left(row), "reason": row.get("fallback_reason", row["reason"])}
            for row in left
        ],
    }


def _left(row: Row) -> str:
    """Where a test failed with the fallback too; empty where it passed, or needed none."""
    return str(row.get("fallback_stage", row["stage"]))


def _run(names: list[str], rows: list[Row], log: Path | None, timeout_s: float) -> Any:
    """Give rows as they come, from `WORKERS` processes at a time."""
    done = {row["test"] for row in rows}
    left = [name for name in names if name not in done]
    size = max(1, min(BATCH, -(-len(left) // WORKERS)))
    batches = [left[place : place + size] for place in range(0, len(left), size)]
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dyno-conformance-")))
        stream = stack.enter_context(_opened(log, bool(rows))) if log else None
        running: list[Worker] = []
        stack.callback(_stop, running)
        count = len(rows)
        while batches or running:
            while batches and len(running) < WORKERS:
                folder = root / str(len(batches))
                folder.mkdir()
                running.append(Worker(batches.pop(0), folder, timeout_s))
            time.sleep(_POLL_S)
            for worker in list(running):
                if worker.poll():
                    running.remove(worker)
                fresh, worker.rows = worker.rows, []
                for row in fresh:
                    if stream:
                        stream.write(json.dumps(row) + "\n")
                        stream.flush()
                    yield row
                count += len(fresh)
                if fresh and count // 100 != (count - len(fresh)) // 100:
                    say(f"{count} of {len(names)} tests")


def _stop(running: list[Worker]) -> None:
    for worker in running:
        worker.stop()


def _opened(log: Path, again: bool) -> Any:
    log.parent.mkdir(parents=True, exist_ok=True)
    return log.open("a" if again else "w")


def _kept(log: Path | None, names: list[str]) -> list[Row]:
    if log is None or not log.exists():
        return []
    lines = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    rows: list[Row] = [json.loads(line) for line in lines]
    return [row for row in rows if row["test"] in set(names)]


def _print(document: Row) -> None:
    passes, native = document["onnxruntime_passes"], document["native"]
    share = f"{native / passes:.1%}" if passes else "-"
    print(f"{document['total']} tests; ONNX Runtime passes {passes}")
    print(
        f"of these {native} native ({share}), {document['specialised']} of them for given values of a shape"
    )
    print(f"with fallback to ONNX Runtime: {document['with_fallback']}")
    print(f"crashes and timeouts: {document['crashes']}")
    for (stage, reason), count in Counter(
        (failure["stage"], failure["reason"][:100]) for failure in document["failures"]
    ).most_common(15):
        print(f"{count:5}  {stage}: {reason}")


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.conformance", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--json", type=Path, help="also write the figures and failures here")
    parser.add_argument(
        "--only", default="*", metavar="PATTERN", help="of the tests' names, e.g. 'test_conv*'"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="the first N tests only")
    parser.add_argument("--timeout", type=float, default=TIMEOUT_S, metavar="SECONDS", help="for one test")
    parser.add_argument(
        "--resume", action="store_true", help="go on where an interrupted run of --json ended"
    )
    args = parser.parse_args(arguments)
    if args.resume and not args.json:
        parser.error("--resume needs --json: the results of the interrupted run lie beside it")
    return args


if __name__ == "__main__":
    main(sys.argv[1:])
