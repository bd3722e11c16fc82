"""Random models through compile, artifact and runtime, each checked against ONNX Runtime or torch.

    python -m benchmarks.fuzz --seeds 0..500 --json runs/fuzz.json
    python -m benchmarks.fuzz --seeds 17..18 --keep runs/fuzz        # one seed, its model kept

A seed is one model (`benchmarks/fuzz/kinds.py`): an ONNX graph of 5 to 25 nodes, a torch module, a graph
for a range of sizes, or one with an operator that runs in ONNX Runtime. Inputs are of four kinds: normal,
over seven decades, 10,000 times, and with NaN or infinities. Verdicts: `ok`; `nan-differs`, on the last kind
or where values inside of the model overflow, and the manifest does not name why; `loose`, behind a rounding,
in a model that is that sensitive, or where double precision agrees with the artifact; `refused` in words;
and faults:
WRONG, CRASH, HANG, TRACEBACK. `--json` also keeps `FILE.seeds.jsonl`, from
which an interrupted run goes on with `--resume`. The exit code is 1 where there is a fault.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

from modeldyno.base.command.console import say
from modeldyno.base.files import write_text
from modeldyno.base.process.procs import Child, python_module, start

TIMEOUT_S = 240.0
FAULTS = ("WRONG", "CRASH", "HANG", "TRACEBACK")
COMMAND = tuple(python_module("benchmarks.fuzz.worker"))
_POLL_S = 0.2
_SHARED = 5  # how many may share a processor before a seed that waits for it counts as hanging
_PROGRESS = 20
# A setting in backticks that changes what is checked or compiled, or another command.
_WAY_OUT = re.compile(r"`(?:--)?(tolerance|fallback|shapes|seed|verify|whole_tolerance)\b|`dyno serve`")
Row = dict[str, Any]


class Runner:
    """The seeds in a process of its own, which is started anew behind a seed that ended it."""

    def __init__(
        self,
        seeds: Sequence[int],
        folder: Path,
        timeout_s: float,
        *,
        keep: Path | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._left = list(seeds)
        self._folder, self._timeout_s, self._keep, self._command = folder, timeout_s, keep, command
        self._results = folder / "results.jsonl"
        self._child: Child | None = None

    def rows(self) -> Iterator[Row]:
        """Give what each seed came to, as it comes; ends the process when it is left."""
        try:
            while self._left:
                child = self._child = self._child or self._start()
                ended = child.returncode() is not None  # asked first: what it wrote before is all there then
                yield from self._fresh()
                if not self._left or self._left[0] >= self._behind:
                    self._end()
                elif ended or self._hangs(child):
                    yield self._given_up(child, "CRASH" if ended else "HANG")
                else:
                    time.sleep(_POLL_S)
        finally:
            self._end()

    def _hangs(self, child: Child) -> bool:
        """Whether a seed took its time of the processor, or of the clock many times that: others run too."""
        waited, spent = time.monotonic() - self._moved, cpu_seconds(child.pid) - self._spent
        return spent > self._timeout_s or waited > self._timeout_s * _SHARED

    def _end(self) -> None:
        if self._child:
            self._child.stop(grace_s=0.5)
        self._child = None

    def _start(self) -> Child:
        """Begin with the seeds that are left, up to the first gap."""
        first, left = self._left[0], set(self._left)
        self._behind = next(seed for seed in count(first) if seed not in left)
        self._results.write_text("")
        self._seen, self._moved, self._spent, self._at = 0, time.monotonic(), 0.0, first
        keep = [str(self._keep)] if self._keep else []
        command = [*self._command, str(first), str(self._behind), str(self._results), *keep]
        return start(command, log=self._folder / "log.txt", env={"OMP_NUM_THREADS": "1"})

    def _fresh(self) -> Iterator[Row]:
        lines = [line for line in self._results.read_text().splitlines(keepends=True) if line.endswith("\n")]
        for line in lines[self._seen :]:
            self._seen, self._moved = self._seen + 1, time.monotonic()
            self._spent = cpu_seconds(self._child.pid) if self._child else 0.0
            record = json.loads(line)
            self._at = record["seed"]
            if "verdict" in record:
                self._left.remove(self._at)
                yield record

    def _given_up(self, child: Child, verdict: str) -> Row:
        """Give the row of the seed that the process died on, or hung in; the next one goes on behind it."""
        seed = self._at if self._at in self._left else self._left[0]
        said = child.log_tail(5)
        self._end()
        self._left.remove(seed)
        return {"seed": seed, "verdict": verdict, "limit_s": self._timeout_s, "message": said[-600:]}


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far; 0 where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(arguments: list[str] | None = None) -> None:
    """Run seeds from the command line; exit code 1 where there is a fault, 130 when it is interrupted."""
    args = _arguments(arguments)
    log = args.json.with_suffix(args.json.suffix + ".seeds.jsonl") if args.json else None
    rows = _kept(log, args.seeds) if args.resume else []
    interrupted = False
    try:
        _run(args, rows, log)
    except KeyboardInterrupt:
        interrupted = True
        say("interrupted; `--resume` goes on from here" if log else "interrupted")
    document = summary(rows)
    if args.json:
        write_text(args.json, json.dumps(document, indent=2) + "\n")
    _print(document)
    if interrupted:
        raise SystemExit(130)
    if document["faults"]:
        raise SystemExit(1)


def _run(args: argparse.Namespace, rows: list[Row], log: Path | None) -> None:
    done = {row["seed"] for row in rows}
    left = [seed for seed in args.seeds if seed not in done]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dyno-fuzz-")))
        stream = stack.enter_context(_opened(log, again=args.resume)) if log else None
        runner = Runner(left, folder, args.timeout, keep=args.keep, command=args.command)
        for row in runner.rows():
            rows.append(row)
            if stream:
                stream.write(json.dumps(row) + "\n")
                stream.flush()
            if row["verdict"] in FAULTS:
                say(f"seed {row['seed']}: {row['verdict']}")
            if len(rows) % _PROGRESS == 0:
                say(f"{len(rows)} of {len(args.seeds)} seeds")


def summary(rows: list[Row]) -> Row:
    """Count the verdicts; `faults` has the rows of the bad ones, `others` those that are neither nor `ok`."""
    counts = Counter(row["verdict"] for row in rows)
    soft = counts["loose"] + counts["refused"]
    ordered = sorted(rows, key=lambda row: int(row["seed"]))
    return {
        "seeds": len(rows),
        "verdicts": dict(counts.most_common()),
        "loose_or_refused_share": round(soft / len(rows), 4) if rows else 0.0,
        "unclear_refusals": [row["seed"] for row in ordered if not _is_clear(row)],
        "faults": [row for row in ordered if row["verdict"] in FAULTS],
        "others": [row for row in ordered if row["verdict"] not in (*FAULTS, "ok")],
    }


def _is_clear(row: Row) -> bool:
    """Whether a refusal names an operator of the model and a way out; all else is clear."""
    said = row.get("message", "")
    names = any(operator.lower() in said.lower().replace("_", "") for operator in row.get("operators", ()))
    return row["verdict"] != "refused" or (names and bool(_WAY_OUT.search(said)))


def _print(document: Row) -> None:
    counts = ", ".join(f"{count} {verdict}" for verdict, count in document["verdicts"].items())
    print(f"{document['seeds']} seeds: {counts or 'none'}")
    print(f"loose or refused: {document['loose_or_refused_share']:.1%}")
    print(f"refusals that name no operator or no way out: {len(document['unclear_refusals'])}")
    for row in (*document["faults"], *document["others"]):
        said = [*row.get("wrong", ()), *row.get("loose", ()), *row.get("nan", ()), row.get("message", "")]
        print(f"{row['seed']:>8}  {row['verdict']}: {' '.join(said[0].split())[:200]}")


def _opened(log: Path, *, again: bool) -> Any:
    log.parent.mkdir(parents=True, exist_ok=True)
    return log.open("a" if again else "w")


def _kept(log: Path | None, seeds: Sequence[int]) -> list[Row]:
    if log is None or not log.exists():
        return []
    lines = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    rows: list[Row] = [json.loads(line) for line in lines]
    return list({row["seed"]: row for row in rows if row["seed"] in seeds}.values())


def _seeds(text: str) -> range:
    first, found, behind = text.partition("..")
    try:
        seeds = range(int(first), int(behind)) if found else range(int(first), int(first) + 1)
    except ValueError:
        seeds = range(0)
    if not seeds or seeds[0] < 0:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no range of seeds such as 0..500 (the last is left out)"
        )
    return seeds


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.fuzz",
        description=(__doc__ or "").splitlines()[0],
        epilog="example: python -m benchmarks.fuzz --seeds 0..500 --json runs/fuzz.json",
    )
    parser.add_argument(
        "--seeds", type=_seeds, required=True, metavar="A..B", help="from A up to B, without B"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write verdicts and faults here")
    parser.add_argument(
        "--resume", action="store_true", help="go on where an interrupted run of --json ended"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the ONNX models here")
    parser.add_argument(
        "--timeout", type=float, default=TIMEOUT_S, metavar="SECONDS", help="of the processor, for one seed"
    )
    args = parser.parse_args(arguments)
    if args.resume and not args.json:
        parser.error("--resume needs --json: the results of the interrupted run lie beside it")
    args.command = COMMAND
    return args


if __name__ == "__main__":
    main(sys.argv[1:])
