"""What the server answers to, in the words of OpenAPI 3.1; schemas come from the models' signatures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from modeldyno.base.records.record import TensorSpec
from modeldyno.serving.protocols.base import Description
from modeldyno.serving.wire.answer import JSON

Schema = dict[str, Any]

BYTES: Schema = {"type": "string", "format": "binary"}
TYPES = {"b": "boolean", "i": "integer", "u": "integer", "f": "number"}
_DOUBLE_BYTES = 8
_ERROR: Schema = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
_ERROR_NAMED: Schema = {"$ref": "#/components/schemas/Error"}
_REFUSALS = {
    "400": "The request is wrong; the message says how.",
    "405": "The method is none of this path; Allow says which are.",
    "406": "The answer can't be said in the type that was asked for.",
    "408": "The request did not come in time.",
    "413": "The body, or what it unpacks to, is larger than allowed.",
    "415": "The body is of a type, or packed in a way, that is not read here.",
    "431": "The headers are too long.",
    "500": "The model failed.",
    "502": "The server's process ended while it ran the request; another took its place.",
    "503": "Too many requests wait already, or the server ends: try again.",
    "504": "Its deadline passed before its answer was there.",
}
_ANYWHERE = ("400", "405", "408", "431", "503")


def document(names: Iterable[str], version: str, described: Iterable[Description]) -> dict[str, Any]:
    """Describe a server of these models; `described` is what its protocols say."""
    found = list(described)
    paths = {
        "/ping": get("Whether requests are answered"),
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
    schema = element(spec)
    for size in reversed(spec.shape):
        exact = {} if size is None else {"minItems": size, "maxItems": size}
        schema = {"type": "array", "items": schema, **exact}
    return schema


def element(spec: TensorSpec) -> Schema:
    """Describe a tensor's elements: their type, and from where to where they go."""
    kind = np.dtype(spec.dtype)
    found: Schema = {"type": TYPES[kind.kind]}
    if kind.kind == "b":
        return found
    if kind.kind != "f":
        return {**found, "minimum": int(np.iinfo(kind).min), "maximum": int(np.iinfo(kind).max)}
    if kind.itemsize == _DOUBLE_BYTES:
        return found
    # Half a step beyond the largest number: what is less is rounded to that.
    beyond = 2.0 ** int(np.finfo(kind).maxexp) * (1 - 2.0 ** -(int(np.finfo(kind).nmant) + 2))
    return {**found, "exclusiveMinimum": -beyond, "exclusiveMaximum": beyond}


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
    return {"get": {"summary": summary, "responses": {"200": fine, **_errors(*_ANYWHERE, *refusals)}}}


def post(summary: str, body: Schema | None = None, *refusals: str) -> dict[str, Any]:
    """Describe a POST about models that takes JSON, where there is a `body`, and gives JSON."""
    fine = {"description": summary, "content": {JSON: {"schema": {}}}}
    taken = {} if body is None else {"requestBody": {"required": False, "content": {JSON: {"schema": body}}}}
    return {
        "post": {
            "summary": summary,
            **taken,
            "responses": {"200": fine, **_errors(*_ANYWHERE, "413", "415", *refusals)},
        }
    }


def refusals(schema: Schema, words: Mapping[str, str]) -> dict[str, Any]:
    """Describe errors by their statuses."""
    content = {JSON: {"schema": schema}}
    return {status: {"description": each, "content": content} for status, each in words.items()}


def _errors(*statuses: str) -> dict[str, Any]:
    return refusals(_ERROR_NAMED, {status: _REFUSALS[status] for status in statuses})
