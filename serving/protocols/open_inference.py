"""The paths of the Open Inference Protocol: the server, and each model by its name (`oip` reads requests)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from modeldyno.base.records.record import TensorSpec
from modeldyno.serving.models.base import ServedModel
from modeldyno.serving.protocols.base import Action, Description, Document, Infer, ModelFacts, Ready
from modeldyno.serving.protocols.oip import EXTENSIONS, VERSION, InferCall, datatype, read_infer, tensors
from modeldyno.serving.protocols.openapi import BYTES, Schema, get, nested, number_type, object_of, operation
from modeldyno.serving.wire.answer import JSON, RAW, Headers

_MODELS = "/v2/models/"


class OpenInference:
    """Version 2, with Triton's binary tensors and model configuration."""

    def server_routes(self) -> dict[str, Document | Ready]:
        """Give what it answers of the server."""
        server = {"name": "modeldyno", "version": version("modeldyno"), "extensions": EXTENSIONS}
        return {
            "/v2": Document(server),
            "/v2/health/live": Document({"live": True}),
            "/v2/health/ready": Ready({}),
        }

    def routes(self, model: ModelFacts) -> dict[str, Action]:
        """Give what it answers of a model, with its only version and without."""
        found: dict[str, Action] = {
            "": Document(_metadata(model)),
            "/ready": Ready({"name": model.name}),
            "/config": Document(_config(model)),
            "/infer": Infer(),
        }
        path = _MODELS + model.name
        return {
            **{path + end: action for end, action in found.items()},
            **{f"{path}/versions/{VERSION}{end}": action for end, action in found.items()},
        }

    def read(
        self, model: ServedModel, name: str, headers: Headers, body: bytes, _max_bytes: int
    ) -> InferCall:
        """Read tensors that follow the model's signature."""
        return read_infer(body, headers, model.signature.inputs, model.signature.outputs, name)

    def describe_server(self) -> Description:
        """Describe the server's paths."""
        return Description(
            {
                "/v2": get("Name, version and extensions of the server"),
                "/v2/health/live": get("Whether the server lives"),
                "/v2/health/ready": get("Whether requests are answered", "503"),
            }
        )

    def describe(self, model: ModelFacts) -> Description:
        """Describe the model's paths."""
        path = _MODELS + model.name
        paths = {
            path: get("Signature of the model"),
            f"{path}/ready": get("Whether requests for the model are answered", "503"),
            f"{path}/config": get("The model in the words of Triton's configuration"),
            f"{path}/infer": {"post": _infer(model.signature.inputs, model.signature.outputs)},
        }
        return Description(paths, f"Each path below {path} is there below {path}/versions/{VERSION} too.")

    def why_unknown(self, path: str, names: list[str]) -> str | None:
        """Say that there is no model of that name."""
        if not path.startswith(_MODELS):
            return None
        name = path.removeprefix(_MODELS).split("/", 1)[0]
        return None if name in names else f"no such model {name!r}; there is {', '.join(map(repr, names))}"


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
    body = object_of({"inputs": _tensors(inputs)})
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
    return {"type": "array", "items": {"anyOf": [_tensor(spec) for spec in specs]} if specs else {}}


def _tensor(spec: TensorSpec) -> Schema:
    sizes = [{"type": "integer", "minimum": 0} if size is None else {"const": size} for size in spec.shape]
    rank = len(sizes)
    flat = {"type": "array", "items": {"type": number_type(spec)}}
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
