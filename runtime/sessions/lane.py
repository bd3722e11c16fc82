"""A lane: what one inference at a time needs for itself. Sessions keep as many as run side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from modeldyno.base.records.record import TensorSpec
from modeldyno.runtime.memory import empty_aligned
from modeldyno.runtime.records.guards import check_word
from modeldyno.runtime.records.manifest import Manifest

Array = npt.NDArray[Any]
_CPU, _POOLED_ALLOCATOR = 1, 2
_BOUND = "bound_main"
TEXT = "object"  # numpy's name for the elements of an array of text


class Lane:
    """A virtual machine bound to inputs, weights and the buffers that it works in; for one thread at a time.

    `inputs` are the arrays that the code reads, by name: what is written there is not copied again. They are
    made here, unless they are given, in the order of the manifest.
    """

    def __init__(
        self,
        ffi: Any,
        library: Any,
        manifest: Manifest,
        weights: Sequence[Array],
        inputs: dict[str, Array] | None = None,
    ) -> None:
        self.module = library["vm_load_executable"]()
        self.module["vm_initialization"](_CPU, 0, _POOLED_ALLOCATOR)
        self.inputs: dict[str, Array] = inputs or {spec.name: buffer(spec) for spec in manifest.inputs}
        self._names = [spec.name for spec in manifest.outputs]
        tensors = [ffi.from_dlpack(array) for array in (*self.inputs.values(), *weights)]
        made = list(self.module["setup"]()) if manifest.weights is not None else []
        self.module["save_function"]("main", _BOUND, True, *tensors, *made)
        self._main = self.module[_BOUND]
        self._guards = manifest.guards
        # Without buffers that are made once, `main` gives the word as the last of its results.
        self._word = np.from_dlpack(made[-1]) if made and self._guards else None

    def run(self) -> dict[str, Array]:
        """Run on what `inputs` hold; the results are read where the code wrote them, until the next run.

        Raises:
            RequestError: an index is out of range, or a divisor of whole numbers is 0.
        """
        result = self._main()
        found = [result] if hasattr(result, "__dlpack__") else list(result)
        if self._guards:
            check_word(self._guards, np.from_dlpack(found.pop()) if self._word is None else self._word)
        return {name: np.from_dlpack(tensor) for name, tensor in zip(self._names, found, strict=True)}


def buffer(spec: TensorSpec) -> Array:
    """Make an array that compiled code can read an input from."""
    shape = tuple(dim for dim in spec.shape if dim is not None)  # a compiled model's are all fixed
    if spec.dtype == TEXT:
        return np.full(shape, "", dtype=object)
    return empty_aligned(shape, spec.dtype)
