"""A segment that runs in ONNX Runtime, which is imported only where an artifact has one."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from modeldyno.base.errors import ArtifactError, RequestError, first_line
from modeldyno.runtime.onnx_runtime import open_onnx, session_options
from modeldyno.runtime.records.segments import Segment
from modeldyno.runtime.sessions.threads import Threads

Array = npt.NDArray[Any]


class OnnxSegment:
    """An .onnx file of an artifact. Lanes share it: ONNX Runtime's sessions may run side by side.

    `weights` are those that lie in the artifact's weights file and not in the .onnx file.
    """

    def __init__(
        self,
        artifact: Path,
        segment: Segment,
        threads: Threads,
        weights: Mapping[str, Array],
    ) -> None:
        runtime = _onnxruntime(artifact, segment)
        # Between two runs of this segment others compute on the same cores: its threads must not spin there.
        options = session_options(runtime, threads.count, spinning=False)
        cores = threads.cores
        if cores and threads.count > 1:
            # One core for each thread but the caller's own; its numbers begin with 1.
            pinned = ";".join(str(cores[place % len(cores)] + 1) for place in range(1, threads.count))
            options.add_session_config_entry("session.intra_op_thread_affinities", pinned)
        # In place, where they are mapped; kept for as long as the session lives, which reads them there.
        self._weights = [runtime.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
        if weights:
            options.add_external_initializers(list(weights), self._weights)
        self.path = artifact / segment.path
        self.inputs = segment.inputs
        self.outputs = segment.outputs
        try:
            self._session = open_onnx(runtime, self.path, options)
        except Exception as error:  # its exceptions share no base class but this one
            raise ArtifactError(
                f"{self.path}: onnxruntime {runtime.__version__} can't load this segment: "
                f"{first_line(error)}; the manifest's toolchain has the version that it was made with"
            ) from error

        ends = (*self._session.get_inputs(), *self._session.get_outputs())
        self._only_numbers = all(end.type.startswith("tensor(") and "string" not in end.type for end in ends)

    def bound(self, values: dict[str, Any], places: Mapping[str, Array]) -> Callable[[], None]:
        """Give what runs the segment on `values` and puts its results there.

        Those of `places` are written into these arrays.
        """
        if not places or not self._only_numbers:
            return lambda: self._run(values, places)
        binding = self._session.io_binding()
        for name in self.outputs:
            if name in places:
                array = places[name]
                binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
            else:
                binding.bind_output(name)  # in the order of the outputs
        free = [name for name in self.outputs if name not in places]

        def run() -> None:
            for name in self.inputs:
                binding.bind_cpu_input(name, values[name])
            for name in free:  # anew: what was given before would be written again, at its old size
                binding.bind_output(name)
            try:
                self._session.run_with_iobinding(binding)
            except Exception as error:
                raise RequestError(self._refusal(error)) from error
            for name, result in zip(self.outputs, binding.get_outputs(), strict=True):
                values[name] = places[name] if name in places else result.numpy()

        return run

    def _run(self, values: dict[str, Any], places: Mapping[str, Array]) -> None:
        try:
            found = self._session.run(list(self.outputs), {name: values[name] for name in self.inputs})
        except Exception as error:
            raise RequestError(self._refusal(error)) from error
        values.update(zip(self.outputs, found, strict=True))
        for name, array in places.items():
            np.copyto(array, values[name])

    def _refusal(self, error: Exception) -> str:
        return f"the model refuses this input: {self.path.name}: {first_line(error)}"


def _onnxruntime(artifact: Path, segment: Segment) -> Any:
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        kinds = ", ".join(dict.fromkeys(each.operator for each in segment.not_compiled))
        raise ArtifactError(
            f"{artifact} runs a part of its model ({kinds}) in ONNX Runtime, which can't be imported here "
            f"({error}): pip install onnxruntime"
        ) from error
