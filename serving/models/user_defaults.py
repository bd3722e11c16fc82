"""What stands in for a function that the user's script does not have."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import PydanticSerializationError, from_json, to_json

from modeldyno.base.errors import ModelError, RequestError
from modeldyno.serving.models.base import ServedModel
from modeldyno.serving.models.files import MANIFEST, check_onnx_file
from modeldyno.serving.wire.answer import JSON, NPY, RAW, media_type
from modeldyno.serving.wire.npy import read_any_npy, shown

CSV = "text/csv"
_INPUT_TYPES = (JSON, NPY, CSV, RAW)
_OUTPUT_TYPES = (JSON, NPY, CSV)


class Model:
    """An artifact or an ONNX model to be called from user code: arrays by name in, arrays by name out."""

    def __init__(self, served: ServedModel) -> None:
        self.served = served

    def __call__(self, feeds: dict[str, np.ndarray] | np.ndarray) -> dict[str, np.ndarray]:
        """Run one inference; a bare array is enough for a model of one input."""
        specs = self.served.signature.inputs
        if not isinstance(feeds, dict):
            feeds = {specs[0].name: feeds}
        return self.served.run({spec.name: np.asarray(feeds[spec.name], spec.dtype) for spec in specs})


def model_fn(folder: Path, threads: int) -> Model:
    """Load the folder's artifact, or its only `.onnx` file.

    Raises:
        ModelError: it has neither.
    """
    if (folder / MANIFEST).is_file():
        from modeldyno.serving.models.tensors import ArtifactSource

        return Model(ArtifactSource(folder, threads).loader()())
    models = sorted(folder.glob("*.onnx"))
    if len(models) != 1:
        raise ModelError(
            f"the script of {folder} has no model_fn, and the folder holds {len(models)} .onnx files and no "
            "artifact: define model_fn(model_dir)"
        )
    check_onnx_file(models[0])
    from modeldyno.serving.models.onnx import OnnxSource

    return Model(OnnxSource(models[0], threads).loader()())


def input_fn(body: bytes | str, content_type: str) -> Any:
    """Read JSON, npy, CSV of numbers, or bytes as they are."""
    kind = media_type(content_type)
    try:
        if kind == JSON:
            return from_json(body)
        if kind == NPY:
            return read_any_npy(_bytes(body))
        if kind == CSV:
            return np.loadtxt(io.StringIO(_text(body)), delimiter=",", ndmin=2)
    except ValueError as error:
        raise RequestError(f"the body is no readable {kind}: {error}") from error
    if kind == RAW:
        return body
    raise RequestError(
        f"unknown Content-Type {shown(content_type)}: expected {', '.join(_INPUT_TYPES)}", status=415
    )


def predict_fn(data: Any, model: Any) -> Any:
    """Call the model."""
    return model(data)


def output_fn(prediction: Any, accept: str) -> tuple[bytes, str]:
    """Write JSON, npy or CSV: the first of `accept` that is one of these, else JSON."""
    kinds = [kind for kind in map(media_type, accept.split(",")) if kind in _OUTPUT_TYPES]
    kind = kinds[0] if kinds else JSON
    value = _plain(prediction)
    if kind == JSON:
        try:
            return to_json(value, serialize_unknown=False, fallback=_plain_or_refuse), kind
        except PydanticSerializationError as error:
            raise TypeError(f"what predict_fn gave can't be written as JSON: {error}") from error
    stream = io.BytesIO()
    if kind == NPY:
        np.save(stream, np.asarray(value), allow_pickle=False)
    else:
        np.savetxt(stream, np.atleast_2d(np.asarray(value)), delimiter=",")
    return stream.getvalue(), kind


def _plain(value: Any) -> Any:
    """Turn a torch tensor into an array."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def _plain_or_refuse(value: Any) -> Any:
    value = _plain(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"define output_fn for {type(value).__name__}")


def _bytes(body: bytes | str) -> bytes:
    return body if isinstance(body, bytes) else body.encode()


def _text(body: bytes | str) -> str:
    return body if isinstance(body, str) else body.decode()
