"""One peer of `benchmarks.cuda` in a process of its own: the runtime out of a bundle, or torch.

    cuda_worker.py PEER DEVICE FOLDER BUNDLE ROOT

PEER is bundle, torch-eager or torch-compile; DEVICE is cuda, or cpu for a rehearsal. FOLDER has feeds.npz
and gets PEER.npz, the outputs. It answers in JSON lines: first what it is, then for each number N that it
reads the milliseconds of N inferences, on inputs that lie on the device already.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Invoke = Callable[[], None]
Outputs = Callable[[], list[Any]]


def main(peer: str, device: str, folder: Path, bundle: Path, root: Path) -> None:
    """Load, answer, and time what is asked for."""
    with np.load(folder / "feeds.npz", allow_pickle=False) as file:
        names, *arrays = (file[name] for name in file.files)  # as benchmarks.feeds writes it
    feeds = dict(zip(map(str, names), arrays, strict=True))
    # The bundle's process finds the bundle's modules first, and torch's the repository's.
    sys.path[0] = str(bundle / "lib") if peer == "bundle" else str(root)
    ready = _bundle if peer == "bundle" else _torch
    how, invoke, outputs = ready(device, feeds, bundle, peer == "torch-compile")
    invoke()
    np.savez(folder / f"{peer}.npz", *outputs())
    answer({"peer": peer, "how": how})
    for line in sys.stdin:
        answer({"ms": [_timed(invoke) for _ in range(int(line))]})


def answer(value: dict[str, Any]) -> None:
    """Write one line to the parent."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def _timed(invoke: Invoke) -> float:
    began = time.perf_counter()
    invoke()
    return (time.perf_counter() - began) * 1e3


def _bundle(device: str, feeds: dict[str, Any], bundle: Path, _compiled: bool) -> tuple[str, Invoke, Outputs]:
    from modeldyno.runtime.open import open_session
    from modeldyno.runtime.sessions.whole import WholeSession

    session = open_session(bundle / "artifact", threads=1)
    if not isinstance(session, WholeSession):
        raise TypeError(f"{bundle} is not one library")
    lane: Any
    with session.lane() as lane:  # nobody else takes it: this is the process's only thread
        for name, array in feeds.items():
            np.copyto(lane.inputs[name], array)
        if device == "cuda":
            lane.upload()
            return (
                f"tvm runtime, {session.manifest.target.name}",
                lane.invoke,
                lambda: list(lane.run().values()),
            )
        return "tvm runtime, on the processor", lane.run, lambda: list(lane.run().values())


def _torch(device: str, feeds: dict[str, Any], bundle: Path, compiled: bool) -> tuple[str, Invoke, Outputs]:
    import torch

    from benchmarks.zoo.registry import torch_module

    # Full float32 on both sides.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    if device == "cpu":
        torch.set_num_threads(1)
    manifest = json.loads((bundle / "artifact" / "manifest.json").read_text())
    module = torch_module(Path(manifest["model"]).stem)[0].eval().to(device)
    run = torch.compile(module, mode="max-autotune") if compiled else module
    inputs = [torch.from_numpy(feeds[spec["name"]].copy()).to(device) for spec in manifest["inputs"]]
    found: list[Any] = []

    def invoke() -> None:
        with torch.inference_mode():
            found[:] = [run(*inputs)]
        if device == "cuda":
            torch.cuda.synchronize()

    def outputs() -> list[Any]:
        result = found[0]
        parts = [result] if isinstance(result, torch.Tensor) else list(result)
        return [part.detach().cpu().numpy() for part in parts]

    name = torch.cuda.get_device_name() if device == "cuda" else "processor"
    return f"torch {torch.__version__} on {name}", invoke, outputs


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(Path, sys.argv[3:6]))
