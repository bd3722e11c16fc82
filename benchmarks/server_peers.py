"""Another model server (LitServe) with the same model, in an environment of its own under runs/peers.

It reads JSON and no raw bytes, so JSON is what it is compared in.
Its dependencies clash with ours. A peer that can't be installed or started is missing
from the figures, with the reason.
"""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dyno import procs

ENVIRONMENTS = Path("runs/peers")
_READY_S = 90.0
_LITSERVE = """
import sys
import litserve as ls
import numpy as np
import onnxruntime as ort

class Api(ls.LitAPI):
    def setup(self, device):
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])

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
PACKAGES = {"litserve": ("litserve", "onnxruntime")}
SCRIPTS = {"litserve": _LITSERVE}
HEALTH = {"litserve": "/health"}


class MissingPeerError(Exception):
    """A peer can't be measured here; the message says why."""


def environment(peer: str) -> Path:
    """Return the peer's Python, made first if it is not there.

    Raises:
        MissingPeerError: it can't be installed.
    """
    python = ENVIRONMENTS / peer / "bin" / "python"
    done = ENVIRONMENTS / peer / "installed"
    if done.exists():
        return python
    try:
        subprocess.run(
            [sys.executable, "-m", "venv", str(ENVIRONMENTS / peer)], check=True, capture_output=True
        )
        install = [str(python), "-m", "pip", "install", "-q", *PACKAGES[peer]]
        subprocess.run(install, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = str(getattr(error, "stderr", "") or error).strip()
        raise MissingPeerError(f"{peer} can't be installed: {said[-300:]}") from error
    done.touch()
    return python


@contextmanager
def serving_peer(peer: str, model: Path, folder: Path) -> Iterator[int]:
    """Serve `model` with a peer, one worker of one thread; gives the port.

    Raises:
        MissingPeerError: it can't be installed, or does not start.
    """
    python = environment(peer)
    folder.mkdir()
    script = folder / "serve_it.py"
    script.write_text(SCRIPTS[peer])
    port = procs.free_port()
    with procs.start(
        [str(python.absolute()), str(script), str(model), str(port)], log=folder / "log"
    ) as child:
        deadline_s = time.monotonic() + _READY_S
        while not _answers(port, HEALTH[peer]):
            if child.returncode() is not None or time.monotonic() > deadline_s:
                raise MissingPeerError(f"{peer} did not start: {child.log_tail(5)}")
            time.sleep(0.1)
        yield port


def _answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False
