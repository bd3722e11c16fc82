"""The paths of the Open Inference Protocol: the server, and each model by its name (`oip` reads requests)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from modeldyno.base.records.record import TensorSpec
from modeldyno.serving.models.base import ServedModel
from modeldyno.serving.protocols.base import Action, Description, Document, Infer, ModelFacts, OfServer, Ready
from modeldyno.serving.protocols.oip import EXTENSIONS, InferCall, datatype, read_infer, tensors
from modeldyno.serving.protocols.openapi import BYTES, Schema, element, get, nested, object_of, operation
from modeldyno.serving.protocols.repository import (
    MODELS,
    VERSION,
    describe_model_controls,
    describe_server_controls,
    model_controls,
    server_controls,
    why_unknown,
)
from modeldyno.serving.wire.answer import JSON, RAW, Answer, Headers


class OpenInference:
    """Version 2, with Triton's binary tensors, model configuration, repository index and statistics."""

    def server_routes(self) -> dict[str, OfServer]:
        """Give what it answers of the server."""
        server = {"name": "modeldyno", "version": version("modeldyno"), "extensions": EXTENSIONS}
        return {
            "/v2": Document(server),
            "/v2/health/live": Document({"live": True}),
            "/v2/health/ready": Ready({}),
            **server_controls(),
        }

    def routes(self, model: ModelFacts) -> dict[str, Action]:
        """Give what it answers of a model, with its only version and without."""
        found: dict[str, Action] = {
            "": Document(_metadata(model)),
            "/ready": Ready({"name": model.name}),
            "/config": Document(_config(model)),
            "/infer": Infer(),
        }
        path = MODELS + model.name
        return {
            **{path + end: action for end, action in found.items()},
            **{f"{path}/versions/{VERSION}{end}": action for end, action in found.items()},
            **model_controls(model.name),
        }

    def read(
        self, model: ServedModel, name: str, headers: Headers, body: bytes, _max_bytes: int
    ) -> InferCall:
        """Read tensors that follow the model's signature."""
        return read_infer(body, headers, model.signature.inputs, model.signature.outputs, name)

    def dress(self, _headers: Headers, answer: Answer) -> Answer:
        """Give it as it is."""
        return answer

    def describe_server(self) -> Description:
        """Describe the server's paths."""
        return Description(
            {
                "/v2": get("Name, version and extensions of the server"),
                "/v2/health/live": get("Whether the server lives"),
                "/v2/health/ready": get("Whether requests are answered"),
                **describe_server_controls(),
            }
        )

    def describe(self, model: ModelFacts) -> Description:
        """Describe the model's paths."""
        path = MODELS + model.name
        paths = {
            path: get("Signature of the model"),
            f"{path}/ready": get("Whether requests for the model are answered"),
            f"{path}/config": get("The model in the words of Triton's configuration"),
            f"{path}/infer": {"post": _infer(model.signature.inputs, model.signature.outputs)},
            **describe_model_controls(model.name),
        }
        return Description(paths, f"Each path below {path} is there below {path}/versions/{VERSION} too.")

    def why_unknown(self, path: str, names: list[str]) -> str | None:
        """Say which model, version or extension is not here."""
        return why_unknown(path, names)


def _metadata(model: ModelFacts) -> dict[str, Any]:
    return {
        "name": model.name,
        "versions": [VERSION],
        "platform": model.signature.platform,
        "inputs": tensors(model.signature.inputs),
        "outputs": tensors(model.signature.outputs),
        **({"parameters": model.parameters} if model.parameters else {}),
    }


def _config(model: ModelFacts) -> dict[str, Any]:
    """Describe the model as Triton's model configuration does; a batch of 0 says that shapes are whole."""

    def described(specs: Sequence[TensorSpec]) -> list[dict[str, Any]]:
        return [
            {"name": entry["name"], "data_type": f"TYPE_{entry['datatype']}", "dims": entry["shape"]}
            for entry in tensors(specs)
        ]

    return {
        "name": model.name,
        "platform": model.signature.platform,
        "max_batch_size": 0,
        "input": described(model.signature.inputs),
        "output": described(model.signature.outputs),
    }


def _infer(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> dict[str, Any]:
    body = object_of({"inputs": {**_tensors(inputs), "minItems": len(inputs), **_each_of(inputs)}})
    body["properties"] |= {
        "id": {"type": "string"},
        "parameters": {
            "type": "object",
            "properties": {
                "binary_data_output": {"type": "boolean"},
                "timeout": {"type": "integer", "minimum": 0, "description": "microseconds"},
            },
        },
        "outputs": {
            "type": "array",
            "items": object_of({"name": {"enum": [spec.name for spec in outputs]}}),
        },
    }
    answer = object_of({"model_name": {"type": "string"}, "outputs": _tensors(outputs)})
    described = operation(
        "Run one inference by the Open Inference Protocol",
        {JSON: {"schema": body}, RAW: {"schema": BYTES}},
        {JSON: {"schema": answer}, RAW: {"schema": BYTES}},
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
    if not specs:
        return {"type": "array"}
    each = {"anyOf": [_tensor(spec) for spec in specs]}
    return {"type": "array", "maxItems": len(specs), "items": each}


def _each_of(specs: Sequence[TensorSpec]) -> Schema:
    named = [object_of({"name": {"const": spec.name}}) for spec in specs]
    return {"allOf": [{"contains": each} for each in named]} if named else {}


def _tensor(spec: TensorSpec) -> Schema:
    sizes = [{"type": "integer", "minimum": 0} if size is None else {"const": size} for size in spec.shape]
    rank = len(sizes)
    flat = {"type": "array", "items": element(spec)}
    tensor = object_of(
        {
            "name": {"const": spec.name},
            "datatype": {"const": datatype(spec.dtype)},
            "shape": {"type": "array", "minItems": rank, "maxItems": rank}
            | ({"prefixItems": sizes} if sizes else {}),
        }
    )
    tensor["properties"]["data"] = {"anyOf": [flat, nested(spec)]}
    tensor["properties"]["parameters"] = {"type": "object"}
    return tensor
