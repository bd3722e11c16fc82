"""What can be served: an artifact folder, an `.onnx` file or user code, behind one small interface."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from modeldyno.base.errors import ArtifactError, ModelError

if TYPE_CHECKING:
    import numpy as np

    from modeldyno.base.records.run import TensorSpec
    from modeldyno.runtime.sessions.base import AnySession

Kind = Literal["artifact", "code", "onnx"]
MANIFEST = "manifest.json"
SCRIPTS = ("code/inference.py", "inference.py")
_ZIP_MAGIC = b"PK\x03\x04"


class Backend(Protocol):
    """A loaded model. Used by one thread at a time unless `load` says otherwise."""

    @property
    def name(self) -> str:
        """`onnxruntime` or `compiled`, the word that candidates use; or `user code`."""

    @property
    def platform(self) -> str:
        """The platform string of the Open Inference Protocol."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs in the model's order."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Outputs in the model's order."""

    @property
    def preferred_batches(self) -> tuple[int, ...]:
        """Numbers of rows that it is fastest at; none where it does not say."""

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run one inference on arrays that follow `inputs`.

        Raises:
            RequestError: the model refuses these values.
        """

    def warm_up(self) -> int:
        """Run on zeros what a first request would wait for; give the number of inferences."""


class ArtifactBackend:
    """A compiled artifact."""

    name = "compiled"
    platform = "modeldyno_artifact"

    def __init__(self, session: AnySession) -> None:
        self._session = session
        self.inputs = session.inputs
        self.outputs = session.outputs
        self.most_rows = session.most_rows  # no more can be joined; None: any number
        self.preferred_batches = session.batch_sizes
        from modeldyno.runtime.sessions.feeds import is_array
        from modeldyno.runtime.sessions.lane import TEXT

        for spec in (*self.inputs, *self.outputs):
            if spec.dtype == TEXT or not is_array(spec):  # of operators that run in ONNX Runtime
                kind = "text" if spec.dtype == TEXT else f"a {spec.dtype}"
                raise ModelError(f"{spec.name!r} is {kind}: only tensors of numbers can be served")

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run one inference."""
        return self._session.run(feeds)

    def warm_up(self) -> int:
        """Run one inference in each compiled shape: each has code and buffers of its own."""
        return self._session.warm_up()


def model_kind(path: Path) -> Kind:
    """Say what `path` holds from a look at the file system; imports nothing heavy.

    Raises:
        ModelError: nothing is there, or the file can't be an ONNX model.
        ArtifactError: a folder that is no artifact.
    """
    if path.is_dir():
        if find_script(path) is not None:
            return "code"
        if not (path / MANIFEST).is_file():
            raise ArtifactError(
                f"{path} is no artifact: it has no {MANIFEST}; `dyno compile` makes one "
                f"(nor is it user code: it has no {' and no '.join(SCRIPTS)})"
            )
        return "artifact"
    try:
        with path.open("rb") as stream:
            head = stream.read(len(_ZIP_MAGIC))
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from error
    if not head:
        raise ModelError(f"{path} is empty: expected an ONNX model or an artifact folder")
    if head == _ZIP_MAGIC:
        raise ModelError(f"{path} is a zip file (torch.export?), no ONNX model: `dyno compile` it first")
    return "onnx"


def find_script(folder: Path) -> Path | None:
    """Return the script of user code in a folder, or None."""
    return next((folder / name for name in SCRIPTS if (folder / name).is_file()), None)


def load_backend(path: Path, threads: int) -> Backend:
    """Load a model to run with `threads` threads inside one inference.

    Raises:
        ModelError: the file is no ONNX model that ONNX Runtime can run.
        ArtifactError: the artifact is damaged or made for another machine.
    """
    if model_kind(path) == "artifact":
        from modeldyno.runtime.open import open_session

        return ArtifactBackend(open_session(path, threads))
    from modeldyno.serving.models.onnx import OrtBackend

    return OrtBackend(path, threads)


def loader(path: Path, threads: int) -> Callable[[], Backend]:
    """Return what gives each worker thread its backend.

    A backend each, so that W workers of T threads are W x T threads. ONNX Runtime with one thread runs in the
    calling thread and may be called from many, so there all workers share one copy of the weights.

    Raises:
        ModelError, ArtifactError: as `load_backend`, now or when the result is called.
    """
    if model_kind(path) == "code":
        from modeldyno.serving.models.user_code import code_loader

        return code_loader(path, threads)
    if model_kind(path) == "onnx" and threads == 1:
        shared = load_backend(path, threads)
        return lambda: shared
    return lambda: load_backend(path, threads)
