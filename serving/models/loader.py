"""Which implementation serves a path: the one place that asks what kind of model it is."""

from __future__ import annotations

from pathlib import Path

from modeldyno.serving.models.base import ModelSource
from modeldyno.serving.models.files import model_kind


def model_source(path: Path, threads: int) -> ModelSource:
    """Choose how to load the model at `path`, to run with `threads` threads inside one inference.

    Raises:
        ModelError: nothing is there, or the file can't be an ONNX model.
        ArtifactError: a folder that is no artifact.
    """
    kind = model_kind(path)
    if kind == "artifact":
        from modeldyno.serving.models.tensors import ArtifactSource

        return ArtifactSource(path, threads)
    if kind == "code":
        from modeldyno.serving.models.user_code import CodeSource

        return CodeSource(path, threads)
    from modeldyno.serving.models.onnx import OnnxSource

    return OnnxSource(path, threads)
