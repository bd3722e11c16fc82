"""POST /invocations, as SageMaker's hosts send it: whatever the model itself reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from modeldyno.base.records.record import TensorSpec
from modeldyno.serving.models.base import ServedModel
from modeldyno.serving.protocols.base import Action, Description, Infer, ModelFacts, OfServer
from modeldyno.serving.protocols.openapi import BYTES, Schema, nested, object_of, operation
from modeldyno.serving.wire.answer import JSON, NPY, NPZ, RAW, Answer, Call, Headers

PATH = "/invocations"
ATTRIBUTES = b"x-amzn-sagemaker-custom-attributes"
"""What a caller may add to a request, in free form: it comes back with the answer."""


class Invocations:
    """It has one path and no names: the first model answers."""

    def server_routes(self) -> dict[str, OfServer]:
        """Nothing of the server."""
        return {}

    def routes(self, model: ModelFacts) -> dict[str, Action]:
        """Give its path."""
        return {PATH: Infer()} if model.is_first else {}

    def read(self, model: ServedModel, _name: str, headers: Headers, body: bytes, max_bytes: int) -> Call:
        """Have the model read the request."""
        return model.read(headers, body, max_bytes)

    def dress(self, headers: Headers, answer: Answer) -> Answer:
        """Give the caller's attributes back, which SageMaker's hosts pass on."""
        return (
            replace(answer, headers=(*answer.headers, *more))
            if (more := returned(headers, ATTRIBUTES))
            else answer
        )

    def describe_server(self) -> Description:
        """Nothing of the server."""
        return Description({})

    def describe(self, model: ModelFacts) -> Description:
        """Describe bodies and answers by the signature."""
        found = described(model.signature.inputs, model.signature.outputs)
        return Description({PATH: {"post": found}} if model.is_first else {})

    def why_unknown(self, _path: str, _names: list[str]) -> str | None:
        """Its path has no name in it."""
        return None


def returned(headers: Headers, *names: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Give those of these headers that a request has and that may stand in an answer."""
    found = ((name, headers[name]) for name in names if name in headers)
    return tuple((name, value) for name, value in found if value.isascii() and value.decode().isprintable())


def described(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> dict[str, Any]:
    """Describe a POST that runs one inference by a signature."""
    if not inputs:
        anything: Schema = {"*/*": {"schema": {}}}
        return operation("Run the user code", anything, anything)
    lists = object_of({spec.name: nested(spec) for spec in inputs}, closed=True)
    if len(inputs) == 1:
        lists = {"anyOf": [lists, nested(inputs[0])]}
    body = object_of({"inputs": lists}, closed=True)
    answer = object_of({"outputs": object_of({spec.name: nested(spec) for spec in outputs})})
    return operation("Run one inference", _contents(body, len(inputs)), _contents(answer, len(outputs)))


def _contents(in_json: Schema, tensors: int) -> dict[str, Any]:
    kinds = (NPZ, NPY, RAW) if tensors == 1 else (NPZ,)
    return {JSON: {"schema": in_json}, **{kind: {"schema": BYTES} for kind in kinds}}
