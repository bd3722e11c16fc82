"""REST-JSON of SageMaker Runtime: members are in the path and in headers, the body is the payload."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from botocore.model import OperationModel  # noqa: TC002 - as other types are imported

from modeldyno.hosting.wire.errors import ApiError
from modeldyno.hosting.wire.messages import Head
from modeldyno.hosting.wire.validate import validated


def read(model: OperationModel, head: Head, body: bytes) -> dict[str, Any]:
    """Read and check an invocation. Raises ApiError: ValidationError; 413 for a body that is too large."""
    given: dict[str, Any] = {"EndpointName": unquote(head.path.split("/")[2])}
    for name, member in model.input_shape.members.items():
        if member.serialization.get("location") == "header":
            text = head.headers.get(member.serialization["name"].lower())
            if text is not None:
                given[name] = _number(text) if member.type_name in ("integer", "long") else text
    if body:
        given["Body"] = body
    try:
        return validated(model.input_shape, given)
    except ApiError as error:
        too_large = "at 'body'" in error.message
        raise ApiError("ValidationError", error.message, 413 if too_large else 400) from None


def _number(text: str) -> int | str:
    return int(text) if text.strip().lstrip("-").isdecimal() and len(text) < 20 else text
