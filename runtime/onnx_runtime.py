"""Sessions of ONNX Runtime. Who needs one imports it and gives it here: the runtime itself does without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_FATAL = 4  # every lesser message also comes as an exception, which is told once, by us


def session_options(onnxruntime: Any, threads: int, *, spinning: bool) -> Any:
    """Make options for one session that runs operators one after another, with `threads` threads inside each.

    With `spinning`, threads wait actively between operators.
    """
    onnxruntime.set_default_logger_severity(_FATAL)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    return options


def open_onnx(onnxruntime: Any, path: Path, options: Any) -> Any:
    """Open an .onnx file on the CPU: by path, since only so it finds weights kept in files beside it.

    Raises:
        Exception: of any kind; ONNX Runtime's own share no base class but this one.
    """
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
