"""An ONNX file, served by ONNX Runtime: the uncompiled baseline of every comparison."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument

from modeldyno.base.errors import ModelError, RequestError
from modeldyno.base.records.record import TensorSpec
from modeldyno.base.rowflow.records import Verdict
from modeldyno.runtime.onnx_runtime import open_onnx, session_options
from modeldyno.runtime.sessions.feeds import ones, zeros
from modeldyno.serving.models.base import Feeds, Signature
from modeldyno.serving.models.independence import verdict_of_onnx
from modeldyno.serving.wire.answer import Headers
from modeldyno.serving.wire.contents import TensorCall, read_tensors

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


class OnnxModel:
    """An `.onnx` file in ONNX Runtime on the CPU. `run` may be called from several threads."""

    def __init__(self, path: Path, threads: int) -> None:
        self._session = _open(path, threads)
        self.signature = Signature(
            "onnxruntime",
            "onnxruntime_onnx",
            tuple(_spec(path, "input", node) for node in self._session.get_inputs()),
            tuple(_spec(path, "output", node) for node in self._session.get_outputs()),
        )
        self._names = [spec.name for spec in self.signature.outputs]

    def read(self, headers: Headers, body: bytes, max_bytes: int) -> TensorCall:
        """Read tensors in one of the content types."""
        return read_tensors(body, headers, self.signature.inputs, self.signature.outputs, max_bytes)

    def run(self, feeds: Feeds) -> Feeds:
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
            self.run(zeros(self.signature.inputs))
        except RequestError:
            self.run(ones(self.signature.inputs))
        return 1

    def close(self) -> None:
        """Nothing: it holds only memory."""


@dataclass(frozen=True)
class OnnxSource:
    """An `.onnx` file. With one thread ONNX Runtime runs in the calling thread: all workers share one copy.

    With more threads each worker has one of its own, so that W workers of T threads are W x T threads.
    """

    path: Path
    threads: int

    def verdict(self) -> Verdict:
        """Prove what can be proved by the graph."""
        return verdict_of_onnx(self.path)

    def loader(self) -> Callable[[], OnnxModel]:
        """Return what loads the file, or gives the shared copy of it."""
        if self.threads > 1:
            return lambda: OnnxModel(self.path, self.threads)
        shared = OnnxModel(self.path, self.threads)
        return lambda: shared


def _open(path: Path, threads: int) -> Any:
    # Spinning is its default, kept so that the baseline is no weaker than what a user gets. Measured on two
    # cores with two threads: 10 % faster than without when the cores are idle, twice as slow when other work
    # wants them. With one thread, or workers instead of threads, nothing spins.
    options = session_options(ort, threads, spinning=True)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    try:
        return open_onnx(ort, path, options)
    except Exception as error:  # its exceptions share no base class but this one
        raise ModelError(_explain(path, str(error))) from error


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
