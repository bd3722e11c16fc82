"""What the model server costs: `python -m benchmarks.server --json F`.

At one connection, over a bare socket: latency less that of a bare `Session.run` of the same model. With `wrk`
(where it is installed): requests a second at 1, 8 and 64 connections, batching off and on, two processes,
and with the same numbers as JSON to LitServe and MLServer. All are measured in turns, round by round; the
figures are medians, with the least and the most of the rounds. At the end each goal, and whether it is met.
"""

from __future__ import annotations

import json
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np

from benchmarks.ready import wait_for_port
from benchmarks.server.client import JSON, RAW, Client, script, throughput
from benchmarks.server.goals import Figures, Goal, goals
from benchmarks.server.models import CASES, Case, build
from benchmarks.server.peers import PEERS, MissingPeerError, lists, serving_peer
from benchmarks.timing import times_ms
from modeldyno.base.command.console import print_table
from modeldyno.base.files import write_text
from modeldyno.base.process import procs

CONNECTIONS = (1, 8, 64)
_FLAGS = {"plain": (), "batching": ("--max-batch", "32"), "2_processes": ("--processes", "2")}


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    rounds: int
    repeat: int
    seconds: int


@dataclass
class Measured:
    """What was found of one case, round by round."""

    effort: Effort
    found: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """Note one figure of one round."""
        self.found.setdefault(name, []).append(value)

    def latencies(self, calls: dict[str, Callable[[], object]], repeat: int) -> None:
        """Time every call, and note what it takes over the bare one."""
        times = {name: times_ms(call, repeat, warm=repeat // 10) for name, call in calls.items()}
        for percent in (50, 99):
            bare_ms = float(np.percentile(times["bare"], percent))
            self.add(f"bare_p{percent}_ms", bare_ms)
            for name in calls.keys() - {"bare"}:
                found_ms = float(np.percentile(times[name], percent))
                self.add(f"{name}_p{percent}_ms", found_ms)
                self.add(f"{name}_over_bare_p{percent}_ms", found_ms - bare_ms)

    def rates(self, name: str, url: str, lua: Path) -> None:
        """Measure requests a second at every number of connections."""
        for connections in CONNECTIONS:
            rate = throughput(url, lua, connections, self.effort.seconds)
            self.add(f"{name}_requests_per_s_c{connections}", rate)


@contextmanager
def serving(model: Path, folder: Path, *flags: str) -> Iterator[int]:
    """Serve `model` in a process of its own; gives the port."""
    folder.mkdir()
    port_file = folder / "port"
    args = procs.python_module("modeldyno", "serve", str(model), "--port", "0", "--threads", "1")
    with procs.start([*args, "--port-file", str(port_file), *flags], log=folder / "log") as child:
        yield wait_for_port(child, port_file)


def bare(model: Path, width: int) -> Callable[[], object]:
    """Make one bare inference."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    feeds = {"x": np.zeros((1, width), np.float32)}
    return lambda: session.run(None, feeds)


def spread(values: list[float]) -> dict[str, float]:
    """Give median, least and most, over the rounds."""
    return {
        "median": round(statistics.median(values), 4),
        "least": round(min(values), 4),
        "most": round(max(values), 4),
    }


def measure(
    case: Case, folder: Path, effort: Effort, missing: dict[str, str], *, wrk: bool
) -> dict[str, dict[str, float]]:
    """Measure one case; peers that can't be go to `missing`."""
    model = build(folder / "model.onnx", case)
    rows = case.rows()
    raw = script(folder, "raw", RAW, rows.tobytes())
    measured = Measured(effort)
    with ExitStack() as stack:
        ports = {
            name: stack.enter_context(serving(model, folder / name, *flags)) for name, flags in _FLAGS.items()
        }
        calls = {"bare": bare(model, case.width)}
        for name, port in ports.items():
            client = stack.enter_context(closing(Client(port)))
            calls[name] = client.post("/invocations", RAW, rows.tobytes())
        with_json = {"plain": (f"http://127.0.0.1:{ports['plain']}/invocations", lists(rows))}
        if wrk and case.peers:
            with_json.update(_peers(stack, model, folder, rows, missing))
        scripts = {name: script(folder, name, JSON, body) for name, (_, body) in with_json.items()}
        for _ in range(effort.rounds):
            measured.latencies(calls, effort.repeat)
            for name, port in ports.items():
                if wrk:
                    measured.rates(name, f"http://127.0.0.1:{port}/invocations", raw)
            for name, (url, _) in with_json.items():
                if wrk and case.peers:
                    measured.rates(f"{name}_json", url, scripts[name])
    return {name: spread(values) for name, values in sorted(measured.found.items())}


def _peers(
    stack: ExitStack, model: Path, folder: Path, rows: np.ndarray, missing: dict[str, str]
) -> dict[str, tuple[str, bytes]]:
    """Start every peer that can be; where to ask it, and what."""
    found: dict[str, tuple[str, bytes]] = {}
    for name, peer in PEERS.items():
        try:
            port = stack.enter_context(serving_peer(name, model, folder / name))
        except MissingPeerError as error:
            missing[name] = str(error)
        else:
            found[name] = (f"http://127.0.0.1:{port}{peer.path}", peer.body(rows))
    return found


def show(figures: Figures, missing: dict[str, str], held: list[Goal], *, wrk: bool) -> None:
    """Print the figures, then the goals."""
    for case, values in figures.items():
        for what, value in values.items():
            print(f"{case:8} {what:36} {value['median']:10} ({value['least']} to {value['most']})")
    for peer, reason in missing.items():
        print(f"missing: {peer}: {reason}")
    if not wrk:
        print("no requests a second: wrk is not installed")
    lines = [
        [goal.what, "-" if goal.value is None else f"{goal.value:g}", goal.bound, goal.verdict]
        for goal in held
    ]
    print_table(["figure", "found", "goal", "verdict"], lines, right=["found"])


@click.command()
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="File for the figures.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--repeat", type=click.IntRange(10), default=1000, show_default=True, help="Requests a round.")
@click.option("--seconds", type=click.IntRange(1), default=3, show_default=True, help="Of each run of wrk.")
@click.option("--case", "names", multiple=True, type=click.Choice([case.name for case in CASES]))
def main(json_path: Path | None, rounds: int, repeat: int, seconds: int, names: tuple[str, ...]) -> None:
    """Measure what the model server costs."""
    # A peer does not know that it is to end with us: leave by an exception, which stops it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    effort, wrk = Effort(rounds, repeat, seconds), bool(shutil.which("wrk"))
    figures: Figures = {}
    missing: dict[str, str] = {}
    for case in CASES:
        if not names or case.name in names:
            with tempfile.TemporaryDirectory() as folder:
                figures[case.name] = measure(case, Path(folder), effort, missing, wrk=wrk)
    held = goals(figures, tuple(PEERS))
    show(figures, missing, held, wrk=wrk)
    if json_path is not None:
        record = {
            "schema_version": 2,
            "rounds": rounds,
            "wrk": wrk,
            "figures": figures,
            "missing": missing,
            "goals": [goal.record() for goal in held],
        }
        write_text(json_path, json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
