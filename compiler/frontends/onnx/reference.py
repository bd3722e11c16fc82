"""What an ONNX model's artifact is compared with: the model itself in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import onnxruntime

from modeldyno.base.errors import ModelError
from modeldyno.compiler.frontends.onnx.weights import NO_QUANTISING, load, open_session
from modeldyno.compiler.model.arrays import Array

if TYPE_CHECKING:
    import onnx

Read = tuple["onnx.ModelProto", "Mapping[str, Array] | None"]
REFERENCE = f"onnxruntime {onnxruntime.__version__}"


def reference(path: Path, model: onnx.ModelProto, mapped: Mapping[str, Array] | None = None) -> Reference:
    """Give what runs a model in ONNX Runtime; `path` is what its errors name."""
    return Reference(path, lambda: (model, mapped))


def file_as_given(path: Path) -> Reference:
    """Give what runs a file as it was given, in its own numbers.

    ONNX Runtime's rewrites are off: they round otherwise.
    """

    def read() -> Read:
        loaded = load(path)
        return loaded.model, loaded.mapped

    return Reference(path, read, onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)


class Reference:
    """Runs a model in ONNX Runtime: read and opened by the first run, and kept until `release`."""

    def __init__(
        self,
        path: Path,
        read: Callable[[], Read],
        rewrites: onnxruntime.GraphOptimizationLevel = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    ) -> None:
        self._path, self._read, self._rewrites = path, read, rewrites
        self._opened: onnxruntime.InferenceSession | None = None

    def __call__(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """Run it once.

        Raises:
            ModelError: ONNX Runtime can't load the model, or run it on these inputs.
        """
        if self._opened is None:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4
            options.graph_optimization_level = self._rewrites
            options.add_session_config_entry(*NO_QUANTISING)
            model, mapped = self._read()
            self._opened = open_session(self._path, model, options, mapped)
        names = [output.name for output in self._opened.get_outputs()]
        try:
            return dict(zip(names, self._opened.run(names, feeds), strict=True))
        except Exception as error:  # its exceptions share no base class but this one
            text = str(error).replace("\n", " ")
            raise ModelError(
                f"{self._path}: ONNX Runtime can't run the model on the inputs of the parity check: {text}",
                hint="`seed` gives others, `verify=False` leaves the check out",
            ) from error

    def release(self) -> None:
        """Give the session's memory back; the next run opens another."""
        self._opened = None
