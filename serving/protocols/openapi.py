"""What the server answers to, in the words of OpenAPI 3.1; schemas come from the models' signatures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from modeldyno.base.records.record import TensorSpec
from modeldyno.serving.protocols.base import Description
from modeldyno.serving.wire.answer import JSON

Schema = dict[str, Any]

BYTES: Schema = {"type": "string", "format": "binary"}
TYPES = {"b": "boolean", "i": "integer", "u": "integer", "f": "number"}
_ERROR: Schema = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
_REFUSALS = {
    "400": "The request is wrong; the message says how.",
    "413": "The body, or what it unpacks to, is larger than allowed.",
    "500": "The model failed.",
    "503": "Too many requests wait already, or the server ends: try again.",
    "504": "Its deadline passed before its answer was there.",
}


def document(names: Iterable[str], version: str, described: Iterable[Description]) -> dict[str, Any]:
    """Describe a server of these models; `described` is what its protocols say."""
    found = list(described)
    paths = {
        "/ping": get("Whether requests are answered", "503"),
        "/metrics": get("Counters in the Prometheus text format", kind="text/plain"),
        "/openapi.json": get("This document"),
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{', '.join(names)}, served by modeldyno",
            "version": version,
            "description": " ".join(each.remark for each in found if each.remark),
        },
        "paths": paths | {path: item for each in found for path, item in each.paths.items()},
        "components": {"schemas": {"Error": _ERROR}},
    }


def nested(spec: TensorSpec) -> Schema:
    """Describe a tensor as nested lists."""
    schema: Schema = {"type": number_type(spec)}
    for size in reversed(spec.shape):
        exact = {} if size is None else {"minItems": size, "maxItems": size}
        schema = {"type": "array", "items": schema, **exact}
    return schema


def number_type(spec: TensorSpec) -> str:
    """Name the type of a tensor's elements."""
    return TYPES["b" if spec.dtype == "bool" else spec.dtype[0]]


def object_of(properties: dict[str, Schema], *, closed: bool = False) -> Schema:
    """Describe an object with these properties; no others where `closed`."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {**schema, "additionalProperties": False} if closed else schema


def operation(summary: str, body: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """Describe a POST that runs an inference."""
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": body},
        "responses": {"200": {"description": "The outputs", "content": answer}, **_errors(*_REFUSALS)},
    }


def get(summary: str, *refusals: str, kind: str = JSON) -> dict[str, Any]:
    """Describe a GET."""
    fine = {"description": summary, "content": {kind: {"schema": {}}}}
    return {"get": {"summary": summary, "responses": {"200": fine, **_errors(*refusals)}}}


def _errors(*statuses: str) -> dict[str, Any]:
    content = {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {status: {"description": _REFUSALS[status], "content": content} for status in statuses}
