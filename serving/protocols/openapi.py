"""What the server answers to, in the words of OpenAPI 3.1; schemas come from the model's signature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modeldyno.base.records.run import TensorSpec
from modeldyno.serving.protocols import oip
from modeldyno.serving.protocols.invocations import NPY, NPZ, RAW
from modeldyno.serving.wire.answer import JSON

Schema = dict[str, Any]

_BYTES: Schema = {"type": "string", "format": "binary"}
_ERROR: Schema = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
_REFUSALS = {
    "400": "The request is wrong; the message says how.",
    "413": "The body, or what it unpacks to, is larger than allowed.",
    "500": "The model failed.",
    "503": "Too many requests wait already, or the server ends: try again.",
    "504": "Its deadline passed before its answer was there.",
}
_TYPES = {"b": "boolean", "i": "integer", "u": "integer", "f": "number"}


def document(
    name: str, version: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> dict[str, Any]:
    """Describe a server of one model; without `inputs`, which is user code, bodies are anything."""
    model = f"/v2/models/{name}"
    paths = {
        "/ping": _get("Whether requests are answered", "503"),
        "/invocations": {"post": _invocations(inputs, outputs)},
        "/metrics": _get("Counters in the Prometheus text format", kind="text/plain"),
        "/openapi.json": _get("This document"),
        "/v2": _get("Name, version and extensions of the server"),
        "/v2/health/live": _get("Whether the server lives"),
        "/v2/health/ready": _get("Whether requests are answered", "503"),
        model: _get("Signature of the model"),
        f"{model}/ready": _get("Whether requests for the model are answered", "503"),
        f"{model}/config": _get("The model in the words of Triton's configuration"),
        f"{model}/infer": {"post": _infer(inputs, outputs)},
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{name}, served by modeldyno",
            "version": version,
            "description": f"Each path below {model} is there below {model}/versions/{oip.VERSION} too.",
        },
        "paths": paths,
        "components": {"schemas": {"Error": _ERROR}},
    }


def nested(spec: TensorSpec) -> Schema:
    """Describe a tensor as nested lists."""
    schema: Schema = {"type": _TYPES[_kind(spec)]}
    for size in reversed(spec.shape):
        exact = {} if size is None else {"minItems": size, "maxItems": size}
        schema = {"type": "array", "items": schema, **exact}
    return schema


def _kind(spec: TensorSpec) -> str:
    return "b" if spec.dtype == "bool" else spec.dtype[0]


def _invocations(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> dict[str, Any]:
    if not inputs:
        anything: Schema = {"*/*": {"schema": {}}}
        return _operation("Run the user code", anything, anything)
    lists = _object({spec.name: nested(spec) for spec in inputs})
    if len(inputs) == 1:
        lists = {"anyOf": [lists, nested(inputs[0])]}
    body = _object({"inputs": lists}, closed=True)
    answer = _object({"outputs": _object({spec.name: nested(spec) for spec in outputs})})
    return _operation("Run one inference", _contents(body, len(inputs)), _contents(answer, len(outputs)))


def _contents(in_json: Schema, tensors: int) -> dict[str, Any]:
    kinds = (NPZ, NPY, RAW) if tensors == 1 else (NPZ,)
    return {JSON: {"schema": in_json}, **{kind: {"schema": _BYTES} for kind in kinds}}


def _infer(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> dict[str, Any]:
    body = _object({"inputs": _tensors(inputs)})
    body["properties"] |= {
        "id": {"type": "string"},
        "parameters": {
            "type": "object",
            "properties": {
                "binary_data_output": {"type": "boolean"},
                "timeout": {"type": "integer", "minimum": 0, "description": "microseconds"},
            },
        },
        "outputs": {"type": "array", "items": _object({"name": {"enum": [spec.name for spec in outputs]}})},
    }
    answer = _object({"model_name": {"type": "string"}, "outputs": _tensors(outputs)})
    described = _operation(
        "Run one inference by the Open Inference Protocol",
        {JSON: {"schema": body}, RAW: {"schema": _BYTES}},
        {JSON: {"schema": answer}, RAW: {"schema": _BYTES}},
    )
    length = {
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "required": False,
        "description": "Bytes of the JSON document, where binary tensors follow it",
        "schema": {"type": "integer", "minimum": 0},
    }
    return {**described, "parameters": [length]}


def _tensors(specs: Sequence[TensorSpec]) -> Schema:
    return {"type": "array", "items": {"anyOf": [_tensor(spec) for spec in specs]} if specs else {}}


def _tensor(spec: TensorSpec) -> Schema:
    sizes = [{"type": "integer", "minimum": 0} if size is None else {"const": size} for size in spec.shape]
    rank = len(sizes)
    flat = {"type": "array", "items": {"type": _TYPES[_kind(spec)]}}
    tensor = _object(
        {
            "name": {"const": spec.name},
            "datatype": {"const": oip.datatype(spec.dtype)},
            "shape": {"type": "array", "minItems": rank, "maxItems": rank}
            | ({"prefixItems": sizes} if sizes else {}),
        }
    )
    tensor["properties"]["data"] = {"anyOf": [flat, nested(spec)]}
    tensor["properties"]["parameters"] = {"type": "object"}
    return tensor


def _object(properties: dict[str, Schema], *, closed: bool = False) -> Schema:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {**schema, "additionalProperties": False} if closed else schema


def _operation(summary: str, body: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": body},
        "responses": {"200": {"description": "The outputs", "content": answer}, **_errors(*_REFUSALS)},
    }


def _get(summary: str, *refusals: str, kind: str = JSON) -> dict[str, Any]:
    fine = {"description": summary, "content": {kind: {"schema": {}}}}
    return {"get": {"summary": summary, "responses": {"200": fine, **_errors(*refusals)}}}


def _errors(*statuses: str) -> dict[str, Any]:
    content = {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {status: {"description": _REFUSALS[status], "content": content} for status in statuses}
