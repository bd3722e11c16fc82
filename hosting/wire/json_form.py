"""JSON 1.0 and 1.1: a request is one object, an answer is one object."""

from __future__ import annotations

from typing import Any

import orjson
from botocore.model import OperationModel  # noqa: TC002 - as other types are imported

from modeldyno.hosting.wire.errors import ApiError
from modeldyno.hosting.wire.messages import Answer
from modeldyno.hosting.wire.validate import validated


def read(model: OperationModel, body: bytes) -> dict[str, Any]:
    """Read and check a request. Raises ApiError."""
    try:
        given = orjson.loads(body) if body.strip() else {}
    except orjson.JSONDecodeError as error:
        raise ApiError("SerializationException", f"The body is no JSON: {error}.") from None
    if not isinstance(given, dict):
        raise ApiError("SerializationException", "The body is no JSON object.")
    return validated(model.input_shape, given)


def write(result: dict[str, Any] | None, version: str = "1.1") -> Answer:
    """Write an answer; times are epoch seconds. An operation without a result has an empty body."""
    body = b"" if result is None else orjson.dumps(result)
    return Answer(200, {"content-type": f"application/x-amz-json-{version}"}, body)
