"""What boto3's `sagemaker-runtime` speaks: POST /endpoints/NAME/invocations, where NAME is a model's.

The bodies are those of /invocations. Paths, headers, codes and statuses are those of the API as botocore 1.44
describes it; messages follow SageMaker's where they tell the same.
"""

from __future__ import annotations

import json
from dataclasses import replace
from http import HTTPStatus
from typing import Any, NoReturn
from uuid import uuid4

from modeldyno.base.errors import RequestError
from modeldyno.serving.models.base import ServedModel
from modeldyno.serving.protocols.base import (
    Action,
    Description,
    Infer,
    ModelFacts,
    OfServer,
)
from modeldyno.serving.protocols.invocations import ATTRIBUTES, described, returned
from modeldyno.serving.protocols.openapi import Schema, object_of, refusals
from modeldyno.serving.wire.answer import Answer, Call, Headers, header
from modeldyno.serving.wire.npy import shown

_ENDPOINTS = "/endpoints/"
_PREFIX = "x-amzn-sagemaker-"
_VARIANT = "AllTraffic"  # what SageMaker's SDK calls an endpoint's only variant
_INFERENCE_ID = b"x-amzn-sagemaker-inference-id"
_MOST_ID, _MOST_ATTRIBUTES = 64, 1024
# Headers that ask for what is not here: served as if they were not there, the answer would be wrong.
_NOT_HERE = {
    "Target-Container-Hostname": ("TargetContainerHostname", "this endpoint has one container"),
    "Inference-Component": ("InferenceComponentName", "this endpoint has no inference components"),
    "Enable-Explanations": ("EnableExplanations", "this endpoint has no explainer"),
    "Session-Id": ("SessionId", "this server keeps no state between requests"),
}
_ELSEWHERE = {
    "invocations-response-stream": "answers are not streamed here: call invoke_endpoint",
    "async-invocations": "requests are not kept for later here: call invoke_endpoint",
}
# Of what the server says before a model is asked: the status of the API and its error code.
_CODES = {
    405: (405, "ValidationError"),
    413: (413, "ValidationError"),
    503: (503, "ServiceUnavailable"),
    408: (408, "RequestTimeout"),
}
_MODEL_ERROR = 424
_STATUSES = {
    "400": "There is no such endpoint, or a header asks for what it has not (ValidationError).",
    "405": "The method is none of this path.",
    "408": "The request did not come in time (RequestTimeout).",
    "413": "The body is larger than allowed (ValidationError).",
    "424": "The model refused the request, failed, or was too slow (ModelError).",
    "431": "The headers are too long.",
    "502": "The server's process ended while it ran the request.",
    "503": "Too many requests wait already, or the server ends: try again (ServiceUnavailable).",
}
_ERROR: Schema = {
    **object_of({"message": {"type": "string"}, "Message": {"type": "string"}}),
    "description": "The code is in the header x-amzn-ErrorType.",
}


class SageMakerRuntime:
    """InvokeEndpoint, for each model as an endpoint with one variant."""

    def server_routes(self) -> dict[str, OfServer]:
        """Nothing of the server."""
        return {}

    def routes(self, model: ModelFacts) -> dict[str, Action]:
        """Give its endpoint."""
        return {f"{_ENDPOINTS}{model.name}/invocations": Infer()}

    def read(self, model: ServedModel, name: str, headers: Headers, body: bytes, max_bytes: int) -> Call:
        """Have the model read the request, unless its headers ask for what is not here."""
        _check(headers, name)
        return model.read(headers, body, max_bytes)

    def dress(self, headers: Headers, answer: Answer) -> Answer:
        """Add the API's headers; write errors with its codes."""
        own = (
            (b"x-amzn-requestid", str(uuid4()).encode()),
            (b"x-amzn-invoked-production-variant", _VARIANT.encode()),
            *returned(headers, ATTRIBUTES, _INFERENCE_ID),
        )
        if answer.fault is None:
            return replace(answer, headers=(*answer.headers, *own))
        status, code, told = _told(answer)
        kind = (b"x-amzn-errortype", code.encode())
        body = json.dumps({"message": told["Message"], **told}).encode()
        return replace(answer, status=status, body=body, headers=(*answer.headers, *own, kind))

    def describe_server(self) -> Description:
        """Nothing of the server."""
        return Description({})

    def describe(self, model: ModelFacts) -> Description:
        """Describe the endpoint as /invocations, with errors as the API has them."""
        found = described(model.signature.inputs, model.signature.outputs)
        errors = refusals(_ERROR, _STATUSES)
        found = {**found, "responses": {"200": found["responses"]["200"], **errors}}
        return Description({f"{_ENDPOINTS}{model.name}/invocations": {"post": found}})

    def why_unknown(self, path: str, names: list[str]) -> str | None:
        """Say that there is no such endpoint, in SageMaker's words, or what it has not."""
        if not path.startswith(_ENDPOINTS):
            return None
        name, _, action = path.removeprefix(_ENDPOINTS).partition("/")
        if name in names:
            nothing = f"an endpoint has no {shown(action)}: POST {_ENDPOINTS}{name}/invocations"
            return _ELSEWHERE.get(action, nothing)
        return f"Endpoint {name} not found: this server has {', '.join(names)}"


def _check(headers: Headers, name: str) -> None:
    """Refuse headers that this endpoint can't follow; `field` is the parameter's name in boto3."""
    for end, (member, why) in _NOT_HERE.items():
        if _given(headers, end):
            _refuse(member, why)
    if _given(headers, "Target-Model") not in ("", name):
        _refuse(
            "TargetModel", f"this endpoint has one model, {name}: found {_shown(headers, 'Target-Model')}"
        )
    if _given(headers, "Target-Variant") not in ("", _VARIANT):
        found = _shown(headers, "Target-Variant")
        _refuse("TargetVariant", f"this endpoint has one variant, {_VARIANT}: found {found}")
    if len(_given(headers, "Inference-Id")) > _MOST_ID:
        _refuse("InferenceId", f"expected {_MOST_ID} characters at most")
    if len(_given(headers, "Custom-Attributes")) > _MOST_ATTRIBUTES:
        _refuse("CustomAttributes", f"expected {_MOST_ATTRIBUTES} characters at most")


def _refuse(member: str, why: str) -> NoReturn:
    raise RequestError(f"{member}: {why}", field=member)


def _given(headers: Headers, end: str) -> str:
    return header(headers, (_PREFIX + end).lower().encode())


def _shown(headers: Headers, end: str) -> str:
    return shown(_given(headers, end))


def _told(answer: Answer) -> tuple[int, str, dict[str, Any]]:
    """Give the API's status, code and members of an error."""
    assert answer.fault is not None  # noqa: S101 - a mistake in this code
    if not answer.fault.of_model:
        status, code = _CODES.get(answer.status, (400, "ValidationError"))
        return status, code, {"Message": answer.fault.message}
    said = answer.body.decode()
    original, side, words = answer.status, "client" if answer.status < 500 else "server", said
    if answer.status == HTTPStatus.GATEWAY_TIMEOUT:
        original = 0
        words = "Your invocation timed out while waiting for a response from container primary. " + said
    message = f'Received {side} error ({original}) from primary with message "{words}".'
    return (
        _MODEL_ERROR,
        "ModelError",
        {
            "Message": message,
            "ErrorCode": f"{side.upper()}_ERROR_FROM_MODEL",
            "OriginalMessage": said,
            "OriginalStatusCode": original,
        },
    )
