"""What the model server costs: `python -m benchmarks.server --json F`.

At one connection: latency over HTTP less a bare `Session.run` of the same model, for a tiny tensor and one of
600 KB. With `wrk` (where it is installed): requests a second at 1, 8 and 64 connections, batching off and on,
and the same JSON to LitServe.
All are measured in turns, round by round; the figures are medians, with the least and the most of the rounds.
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.ready import wait_for_port
from benchmarks.server_peers import PACKAGES, MissingPeerError, serving_peer
from dyno import procs
from dyno.files import write_text

RAW = "application/octet-stream"
CONNECTIONS = (1, 8, 64)
_SIZES = {"tiny": 4, "600 KB": 150_000}  # float32 numbers a row
_LUA = """wrk.method = "POST"
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.body = string.rep("\\0", {size})
"""
_LUA_JSON = """wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{{"inputs": [[' .. string.rep("0.5,", {width} - 1) .. '0.5]]}}'
"""


def build(path: Path, width: int) -> Path:
    """Write y = mean(x) of each row of `width` numbers, any number of rows: little work for many bytes."""
    node = helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=1)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", width])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])
    axes = numpy_helper.from_array(np.array([1], np.int64), "axes")
    graph = helper.make_graph([node], "mean", [x], [y], [axes])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


@contextmanager
def serving(model: Path, folder: Path, *flags: str) -> Iterator[int]:
    """Serve `model` in a process of its own; gives the port."""
    folder.mkdir()
    port_file = folder / "port"
    args = procs.python_module("dyno", "serve", str(model), "--port", "0", "--threads", "1")
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


def over_http(connection: http.client.HTTPConnection, width: int) -> Callable[[], bytes]:
    """Make one request over a kept-alive connection."""
    body = bytes(4 * width)

    def ask() -> bytes:
        connection.request("POST", "/invocations", body, {"Content-Type": RAW})
        return connection.getresponse().read()

    return ask


def timed(call: Callable[[], object], repeat: int) -> list[float]:
    """Time `repeat` calls in milliseconds, after a tenth of them untimed."""
    for _ in range(repeat // 10):
        call()
    found = []
    for _ in range(repeat):
        began_s = time.perf_counter()
        call()
        found.append((time.perf_counter() - began_s) * 1000)
    return found


def throughput(port: int, script: Path, connections: int, seconds: int) -> float:
    """Measure requests a second with wrk.

    Raises:
        ClickException: an answer was no 200.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script)]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/invocations"], capture_output=True, text=True, check=True
    )
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if rate is None or "Non-2xx" in done.stdout:
        raise click.ClickException(f"wrk saw failures: {done.stdout}")
    return float(rate[1])


def spread(values: list[float]) -> dict[str, float]:
    """Give median, least and most, over the rounds."""
    return {
        "median": round(statistics.median(values), 4),
        "least": round(min(values), 4),
        "most": round(max(values), 4),
    }


def measure(
    width: int,
    folder: Path,
    missing: dict[str, str],
    *,
    rounds: int,
    repeat: int,
    seconds: int,
) -> dict[str, Any]:
    """Measure one size of tensor."""
    model = build(folder / "model.onnx", width)
    script = folder / "post.lua"
    script.write_text(_LUA.format(size=4 * width))
    json_script = folder / "post_json.lua"
    json_script.write_text(_LUA_JSON.format(width=width))
    found: dict[str, list[float]] = {}
    with ExitStack() as stack:
        ports = {
            "plain": stack.enter_context(serving(model, folder / "plain")),
            "batching": stack.enter_context(serving(model, folder / "batching", "--max-batch", "32")),
        }
        peers = {"plain": ports["plain"], **_peers(stack, model, folder, missing)}
        calls = {"bare": bare(model, width)}
        for name, port in ports.items():
            connection = stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", port)))
            calls[name] = over_http(connection, width)
        for _ in range(rounds):
            times = {name: timed(call, repeat) for name, call in calls.items()}
            for name, port in ports.items():
                for percent in (50, 99):
                    over = np.percentile(times[name], percent) - np.percentile(times["bare"], percent)
                    found.setdefault(f"{name}_over_bare_p{percent}_ms", []).append(float(over))
                if shutil.which("wrk"):
                    for connections in CONNECTIONS:
                        rate = throughput(port, script, connections, seconds)
                        found.setdefault(f"{name}_requests_per_s_c{connections}", []).append(rate)
            if shutil.which("wrk"):
                for connections, (name, port) in product(CONNECTIONS, peers.items()):
                    rate = throughput(port, json_script, connections, seconds)
                    found.setdefault(f"{name}_json_requests_per_s_c{connections}", []).append(rate)
    return {name: spread(values) for name, values in found.items()}


def _peers(stack: ExitStack, model: Path, folder: Path, missing: dict[str, str]) -> dict[str, int]:
    """Start every peer that can be; those that can't go to `missing`."""
    ports: dict[str, int] = {}
    for peer in PACKAGES:
        try:
            ports[peer] = stack.enter_context(serving_peer(peer, model, folder / peer))
        except MissingPeerError as error:  # noqa: PERF203
            missing[peer] = str(error)
    return ports


@click.command()
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="File for the figures.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--repeat", type=click.IntRange(10), default=1000, show_default=True, help="Requests a round.")
@click.option("--seconds", type=click.IntRange(1), default=3, show_default=True, help="Of each run of wrk.")
def main(json_path: Path | None, rounds: int, repeat: int, seconds: int) -> None:
    """Measure what the model server costs."""
    # A peer does not know that it is to end with us: leave by an exception, which stops it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    figures: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for name, width in _SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            figures[name] = measure(
                width, Path(folder), missing, rounds=rounds, repeat=repeat, seconds=seconds
            )
        for what, values in figures[name].items():
            print(f"{name:8} {what:32} {values['median']:10} ({values['least']} to {values['most']})")
    for peer, reason in missing.items():
        print(f"missing: {peer}: {reason}")
    if not shutil.which("wrk"):
        print("no requests a second: wrk is not installed")
    if json_path is not None:
        wrk = bool(shutil.which("wrk"))
        record = {
            "schema_version": 1,
            "rounds": rounds,
            "wrk": wrk,
            "figures": figures,
            "missing": missing,
        }
        write_text(json_path, json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
