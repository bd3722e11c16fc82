"""Other model servers (LitServe, MLServer) with the same model, each in an environment of its own.

Their dependencies clash with ours and with one another's: the environments are made under runs/peers. Both
read JSON, so JSON is what they are compared in, each in its own words. Both run the same ONNX Runtime session
of one thread; MLServer in its server's own process (`parallel_workers` 0), which is its fastest for small
models. A peer that can't be installed or started is missing from the figures, with the reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modeldyno.base.process import procs

if TYPE_CHECKING:
    import numpy as np

ENVIRONMENTS = Path("runs/peers")
_READY_S = 90.0
_SESSION = """
import numpy as np
import onnxruntime as ort

def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
"""
_LITSERVE = (
    _SESSION
    + """
import sys
import litserve as ls

class Api(ls.LitAPI):
    def setup(self, device):
        self.session = session(sys.argv[1])

    def decode_request(self, request):
        return np.array(request["inputs"], np.float32)

    def predict(self, rows):
        return self.session.run(None, {"x": rows})[0]

    def encode_response(self, output):
        return {"outputs": {"y": output.tolist()}}

if __name__ == "__main__":
    server = ls.LitServer(Api(api_path="/invocations"), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="error")
"""
)
_MLSERVER = (
    _SESSION
    + """
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse

class Model(MLModel):
    async def load(self):
        self.session = session(self.settings.parameters.uri)
        return True

    async def predict(self, payload):
        rows = NumpyCodec.decode_input(payload.inputs[0])
        found = self.session.run(None, {"x": rows})[0]
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", found)])
"""
)


@dataclass(frozen=True)
class Peer:
    """How to install, start and ask one peer."""

    packages: tuple[str, ...]
    start: Callable[[Path, Path, Path, int], list[str]]
    """Python, folder, model and port to a command line; writes what it needs into the folder."""
    health: str
    path: str
    body: Callable[[np.ndarray], bytes]


class MissingPeerError(Exception):
    """A peer can't be measured here; the message says why."""


def lists(rows: np.ndarray) -> bytes:
    """Write rows as POST /invocations takes them, here and in LitServe."""
    return json.dumps({"inputs": rows.tolist()}).encode()


def open_inference(rows: np.ndarray) -> bytes:
    """Write rows in the words of the Open Inference Protocol, which MLServer speaks."""
    entry = {"name": "x", "shape": list(rows.shape), "datatype": "FP32", "data": rows.ravel().tolist()}
    return json.dumps({"inputs": [entry]}).encode()


def _start_litserve(python: Path, folder: Path, model: Path, port: int) -> list[str]:
    script = folder / "serve_it.py"
    script.write_text(_LITSERVE)
    return [str(python), str(script), str(model), str(port)]


def _start_mlserver(python: Path, folder: Path, model: Path, port: int) -> list[str]:
    (folder / "peer_model.py").write_text(_MLSERVER)
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": procs.free_port(),
        "metrics_port": procs.free_port(),
        "parallel_workers": 0,
        "debug": False,
        "use_structured_logging": False,
        "logging_settings": None,
    }
    model_settings = {
        "name": "model",
        "implementation": "peer_model.Model",
        "parameters": {"uri": str(model.absolute())},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model_settings))
    return [str(python.parent / "mlserver"), "start", str(folder)]


PEERS = {
    "litserve": Peer(("litserve", "onnxruntime"), _start_litserve, "/health", "/invocations", lists),
    "mlserver": Peer(
        ("mlserver", "onnxruntime"),
        _start_mlserver,
        "/v2/models/model/ready",
        "/v2/models/model/infer",
        open_inference,
    ),
}


def environment(peer: str) -> Path:
    """Return the peer's Python, made first if it is not there.

    Raises:
        MissingPeerError: it can't be installed.
    """
    python = ENVIRONMENTS / peer / "bin" / "python"
    done = ENVIRONMENTS / peer / "installed"
    if done.exists():
        return python.absolute()
    try:
        subprocess.run(
            [sys.executable, "-m", "venv", str(ENVIRONMENTS / peer)], check=True, capture_output=True
        )
        install = [str(python), "-m", "pip", "install", "-q", *PEERS[peer].packages]
        subprocess.run(install, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = str(getattr(error, "stderr", "") or error).strip()
        raise MissingPeerError(f"{peer} can't be installed: {said[-300:]}") from error
    done.touch()
    return python.absolute()


@contextmanager
def serving_peer(name: str, model: Path, folder: Path) -> Iterator[int]:
    """Serve `model` with a peer, one worker of one thread; gives the port.

    Raises:
        MissingPeerError: it can't be installed, or does not start.
    """
    python = environment(name)
    folder.mkdir()
    peer = PEERS[name]
    port = procs.free_port()
    with procs.start(peer.start(python, folder, model, port), log=folder / "log") as child:
        deadline_s = time.monotonic() + _READY_S
        while not _answers(port, peer.health):
            if child.returncode() is not None or time.monotonic() > deadline_s:
                raise MissingPeerError(f"{name} did not start: {child.log_tail(5)}")
            time.sleep(0.1)
        yield port


def _answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False
