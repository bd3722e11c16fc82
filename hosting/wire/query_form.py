"""The query protocol: a form with dotted names in, XML out."""

from __future__ import annotations

from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from modeldyno.hosting.wire.errors import ApiError
from modeldyno.hosting.wire.messages import Answer
from modeldyno.hosting.wire.validate import validated
from modeldyno.hosting.wire.xml_form import members

MOST_ITEMS = 10_000
_DEEPEST = 16


def read(model: OperationModel, form: dict[str, str]) -> dict[str, Any]:
    """Read and check a request: `A.member.1.B=x` is the B of the first of the list A. Raises ApiError."""
    if model.input_shape is None:
        return {}
    return validated(model.input_shape, _structure(model.input_shape, form, "", 0))


def write(model: OperationModel, result: dict[str, Any], request_id: str) -> Answer:
    """Write an answer."""
    shape = model.output_shape
    inner = members(shape, result) if isinstance(shape, StructureShape) else ""
    wrapper = shape.serialization.get("resultWrapper", f"{model.name}Result") if shape else ""
    inside = f"<{wrapper}>{inner}</{wrapper}>" if shape else ""
    space = model.metadata.get("xmlNamespace", "")
    body = (
        f'<{model.name}Response xmlns="{space}">{inside}<ResponseMetadata><RequestId>{request_id}</RequestId>'
        f"</ResponseMetadata></{model.name}Response>"
    )
    return Answer(200, {"content-type": "text/xml"}, body.encode())


def _structure(shape: StructureShape, form: dict[str, str], prefix: str, depth: int) -> dict[str, Any]:
    if depth > _DEEPEST:
        raise ApiError("MalformedInput", "The request is nested too deeply.")
    found = {}
    for name, member in shape.members.items():
        key = f"{prefix}{member.serialization.get('name', name)}"
        value = _value(member, form, key, depth)
        if value is not None:
            found[name] = value
    return found


def _value(shape: Shape, form: dict[str, str], key: str, depth: int) -> Any:
    if isinstance(shape, StructureShape):
        inside = any(name.startswith(f"{key}.") for name in form)
        return _structure(shape, form, f"{key}.", depth + 1) if inside else None
    if isinstance(shape, ListShape):
        inner = "" if shape.serialization.get("flattened") else ".member"
        return _items(shape.member, form, f"{key}{inner}", depth)
    if isinstance(shape, MapShape):
        return None  # no operation that is answered has one
    return _scalar(shape, form[key], key) if key in form else None


def _items(member: Shape, form: dict[str, str], key: str, depth: int) -> list[Any] | None:
    found = []
    for number in range(1, MOST_ITEMS):
        value = _value(member, form, f"{key}.{number}", depth + 1)
        if value is None:
            break
        found.append(value)
    return found or None


def _scalar(shape: Shape, text: str, key: str) -> Any:
    try:
        if shape.type_name in ("integer", "long"):
            return int(text)
        if shape.type_name in ("float", "double"):
            return float(text)
    except ValueError:
        raise ApiError("MalformedInput", f"{key}: {text[:64]!r} is no {shape.type_name}.") from None
    return text.lower() == "true" if shape.type_name == "boolean" else text
