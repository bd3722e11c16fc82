"""ONNX Runtime as a backend: the uncompiled baseline of every comparison."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument

from modeldyno.base.errors import ModelError, RequestError
from modeldyno.base.records.run import TensorSpec
from modeldyno.runtime.sessions.feeds import ones, zeros

if TYPE_CHECKING:
    import numpy as np

_FATAL = 4  # every lesser message also comes as an exception, which is reported once, by us
_DTYPES = {
    "tensor(bool)": "bool",
    "tensor(double)": "float64",
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
_HERE = f"onnxruntime {ort.__version__} here"
# What ONNX Runtime says, and what that means for the user.
_MEANINGS = (
    (
        r"Opset (\d+) is under development.*till opset (\d+)",
        rf"uses ONNX opset \1, {_HERE} knows up to \2: export it with an older one, or update onnxruntime",
    ),
    (
        r"Unsupported model IR version: (\d+), max supported IR version: (\d+)",
        rf"has ONNX IR version \1, {_HERE} reads up to \2: export an older one, or update onnxruntime",
    ),
    (
        r"No Op registered for (\S+) with domain_version of (\d+)",
        r"uses operator \1, which ONNX opset \2 does not have",
    ),
    (
        r"Fatal error: (\S+?)\(-?\d+\) is not a registered",
        r"uses operator \1, which onnxruntime does not know",
    ),
    (r'External data path does not exist: "(.+?)"', r"keeps weights in \1, which is missing: put it there"),
    # As 1.23 words it.
    (
        r"cannot get file size: No such file or directory \[(.+?)\]",
        r"keeps weights in \1, which is missing: put it there",
    ),
    (r"External initializer: .* out of bounds", r"keeps weights in a file beside it that was cut short"),
    (r"Protobuf parsing failed|No graph was found", r"is no ONNX model, or was cut short"),
)


# What ONNX Runtime's operators say of indices and divisors, where they do not call them an invalid argument.
_OF_NUMBERS = re.compile(
    r"division by zero|out of (data )?bounds|out of range|\bind(ex|ices)\b", re.IGNORECASE
)


class OrtBackend:
    """An `.onnx` file in ONNX Runtime on the CPU. `run` may be called from several threads."""

    name = "onnxruntime"
    platform = "onnxruntime_onnx"
    preferred_batches: tuple[int, ...] = ()

    def __init__(self, path: Path, threads: int) -> None:
        self._session = _open(path, threads)
        self.inputs = tuple(_spec(path, "input", node) for node in self._session.get_inputs())
        self.outputs = tuple(_spec(path, "output", node) for node in self._session.get_outputs())
        self._names = [spec.name for spec in self.outputs]

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run one inference.

        Raises:
            RequestError: the values don't fit the model: a token id past the vocabulary, a divisor of 0.
        """
        try:
            values = self._session.run(self._names, feeds)
        except (InvalidArgument, Fail) as error:
            if isinstance(error, Fail) and not _OF_NUMBERS.search(str(error)):
                raise  # a fault of the model, as far as anybody can tell
            raise RequestError(f"the model refuses this input: {_plain(str(error))}") from error
        return dict(zip(self._names, values, strict=True))

    def warm_up(self) -> int:
        """Run one inference, on zeros, or on ones where these are refused; free sizes are 1."""
        try:
            self.run(zeros(self.inputs))
        except RequestError:
            self.run(ones(self.inputs))
        return 1


def _open(path: Path, threads: int) -> Any:
    ort.set_default_logger_severity(_FATAL)
    try:
        # By path, not by bytes: only so it finds weights kept in files beside the model.
        return ort.InferenceSession(str(path), _options(threads), providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class but this one
        raise ModelError(_explain(path, str(error))) from error


def _options(threads: int) -> Any:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Its default, kept so that the baseline is no weaker than what a user gets: helper threads spin between
    # operators. Measured on two cores with two threads: 10 % faster than without when the cores are idle,
    # twice as slow when other work wants them. With one thread, or workers instead of threads, nothing spins.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.log_severity_level = _FATAL
    return options


def _spec(path: Path, role: str, node: Any) -> TensorSpec:
    dtype = _DTYPES.get(node.type)
    if dtype is None:
        raise ModelError(
            f"{path}: {role} {node.name!r} is {node.type}: only tensors of numbers can be served"
        )
    shape = tuple(size if isinstance(size, int) and size >= 0 else None for size in node.shape)
    return TensorSpec(name=node.name, dtype=dtype, shape=shape)


def _explain(path: Path, message: str) -> str:
    for pattern, meaning in _MEANINGS:
        if found := re.search(pattern, message, re.DOTALL):
            return f"{path} {found.expand(meaning)}"
    return f"onnxruntime cannot load {path}: {_plain(message)}"


def _plain(message: str) -> str:
    """Drop the error code, the file name again and the C++ source line."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .* failed:)?", "", message.strip())
    return re.sub(r"\S+\.(cc|h):\d+ ", "", text).strip()
