"""Opening an artifact: which kind of session runs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modeldyno.base.host.facts import processor
from modeldyno.base.records.record import TensorSpec
from modeldyno.runtime import tvm_light
from modeldyno.runtime.artifact import open_artifact
from modeldyno.runtime.gpu import check_gpu, offer_kernels
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.sessions.base import AnySession
from modeldyno.runtime.sessions.threads import chosen_threads
from modeldyno.runtime.sessions.whole import load_library


def open_session(path: Path, threads: int | None = None, cores: Sequence[int] | None = None) -> AnySession:
    """Load the artifact folder `path`.

    `threads` work inside one inference (default: one for each of `cores`, or of the usable cores). With
    `cores`, each of them is pinned to one of these; the thread that calls `run` is moved onto them too.

    Raises:
        ArtifactError: missing, damaged, of a newer schema, or made for another processor.
        ConfigError: a core that this process may not use, or fewer cores than threads.
    """
    chosen = chosen_threads(threads, cores)
    manifest = open_artifact(path, processor())
    # Imported where they are needed: most artifacts need neither, and a process starts sooner without.
    if manifest.buckets:
        from modeldyno.runtime.sessions.buckets import BucketedSession

        return BucketedSession(path, manifest, chosen)
    if manifest.segments:
        from modeldyno.runtime.sessions.segments import load_segments

        return load_segments(path, manifest, chosen)
    if manifest.target.kind == "cuda":
        check_gpu(path, manifest)
        tvm_light.load_cuda()
        if manifest.gpu_code:
            offer_kernels(tvm_light.load(), path, manifest.gpu_code)
    return load_library(path, manifest, None, chosen)


class Session:
    """A loaded artifact of any kind, by `Session.load(path)`. Any number of threads may run it."""

    def __init__(self, opened: AnySession) -> None:
        self.manifest: Manifest = opened.manifest
        self.inputs: tuple[TensorSpec, ...] = opened.inputs
        self.outputs: tuple[TensorSpec, ...] = opened.outputs
        self.threads = opened.threads
        self.cores = opened.cores
        self.most_rows = opened.most_rows
        self.batch_sizes = opened.batch_sizes
        self._opened = opened

    @classmethod
    def load(cls, path: Path, threads: int | None = None, cores: Sequence[int] | None = None) -> Session:
        """Load the artifact folder `path`, as `open_session` does.

        Raises:
            ArtifactError: missing, damaged, of a newer schema, or made for another processor.
            ConfigError: a core that this process may not use, or fewer cores than threads.
        """
        return cls(open_session(path, threads, cores))

    def run(self, feeds: dict[str, Any]) -> dict[str, Any]:
        """Run one inference on named arrays; the result's arrays are the caller's own.

        Raises:
            RequestError: an input is missing, unknown, no array, or of another shape or dtype; or what it
                holds is refused: an index out of range, a divisor of 0.
        """
        return self._opened.run(feeds)

    def warm_up(self) -> int:
        """Run one inference on zeros in each compiled shape; give how many that were.

        Raises:
            RequestError: the model refuses zeros, and ones.
        """
        return self._opened.warm_up()
