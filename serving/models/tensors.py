"""A compiled artifact, served."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modeldyno.base.errors import ModelError
from modeldyno.base.rowflow.records import Verdict
from modeldyno.runtime.open import open_session
from modeldyno.runtime.sessions.base import AnySession
from modeldyno.runtime.sessions.feeds import is_array
from modeldyno.runtime.sessions.lane import TEXT
from modeldyno.serving.models.base import Feeds, Signature
from modeldyno.serving.models.independence import verdict_of_artifact
from modeldyno.serving.wire.answer import Headers
from modeldyno.serving.wire.contents import TensorCall, read_tensors


class ArtifactModel:
    """A loaded artifact."""

    def __init__(self, session: AnySession) -> None:
        self._session = session
        self.signature = Signature(
            "compiled",
            "modeldyno_artifact",
            session.inputs,
            session.outputs,
            preferred_rows=session.batch_sizes,
            most_rows=session.most_rows,
        )
        for spec in (*session.inputs, *session.outputs):
            if spec.dtype == TEXT or not is_array(spec):  # of operators that run in ONNX Runtime
                kind = "text" if spec.dtype == TEXT else f"a {spec.dtype}"
                raise ModelError(f"{spec.name!r} is {kind}: only tensors of numbers can be served")

    def read(self, headers: Headers, body: bytes, max_bytes: int) -> TensorCall:
        """Read tensors in one of the content types."""
        return read_tensors(body, headers, self.signature.inputs, self.signature.outputs, max_bytes)

    def run(self, feeds: Feeds) -> Feeds:
        """Run one inference."""
        return self._session.run(feeds)

    def warm_up(self) -> int:
        """Run one inference in each compiled shape: each has code and buffers of its own."""
        return self._session.warm_up()

    def close(self) -> None:
        """Nothing: it holds only memory."""


@dataclass(frozen=True)
class ArtifactSource:
    """An artifact folder. Each worker thread loads it: W workers of T threads are W x T threads."""

    path: Path
    threads: int

    def verdict(self) -> Verdict:
        """Read what the manifest says was proved."""
        return verdict_of_artifact(self.path)

    def loader(self) -> Callable[[], ArtifactModel]:
        """Return what loads the artifact."""
        return lambda: ArtifactModel(open_session(self.path, self.threads))
