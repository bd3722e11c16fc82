"""Values to XML and back by their shapes: answers of query services and of S3, bodies of S3."""

from __future__ import annotations

import base64
import xml.parsers.expat
from datetime import UTC, datetime
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from modeldyno.hosting.wire.errors import ApiError, xml_text

MOST_DEPTH = 32


def element(shape: Shape, value: Any, name: str) -> str:
    """Write one value as XML; members without a value are left out."""
    if isinstance(shape, ListShape):
        return _list(shape, value, name)
    attributes = ""
    if isinstance(shape, StructureShape):
        inner = members(shape, value)
    elif isinstance(shape, MapShape):
        inner = "".join(
            f"<entry>{element(shape.key, key, 'key')}{element(shape.value, each, 'value')}</entry>"
            for key, each in value.items()
        )
    else:
        inner = xml_text(_scalar(shape, value))
    return f"<{name}{attributes}>{inner}</{name}>"


def members(shape: StructureShape, value: dict[str, Any]) -> str:
    """Write the members of a structure that go into the body."""
    return "".join(
        element(member, value[name], member.serialization.get("name", name))
        for name, member in shape.members.items()
        if value.get(name) is not None and member.serialization.get("location") is None
    )


def _list(shape: ListShape, value: list[Any], name: str) -> str:
    inner = shape.member.serialization.get("name", "member")
    if shape.serialization.get("flattened"):
        own = shape.member.serialization.get("name", name)
        return "".join(element(shape.member, each, own) for each in value)
    return f"<{name}>{''.join(element(shape.member, each, inner) for each in value)}</{name}>"


def _scalar(shape: Shape, value: Any) -> str:
    if shape.type_name == "timestamp":
        moment = datetime.fromtimestamp(value, UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
    if shape.type_name == "boolean":
        return "true" if value else "false"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)


class Tree:
    """One element: its name without a prefix, its text, its children."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = ""
        self.children: list[Tree] = []

    def first(self, name: str) -> str | None:
        """Give the text of the first child of a name."""
        return next((each.text for each in self.children if each.name == name), None)


def parsed(body: bytes) -> Tree:
    """Read XML. Entities of one's own, external ones and deep nests are refused: ApiError MalformedXML."""
    stack = [Tree("")]

    def start(name: str, _attributes: dict[str, str]) -> None:
        if len(stack) > MOST_DEPTH:
            raise _malformed()
        tree = Tree(name.rpartition(":")[2])
        stack[-1].children.append(tree)
        stack.append(tree)

    def text(data: str) -> None:
        stack[-1].text += data

    def declared(*_: Any) -> None:
        raise _malformed()

    parser = xml.parsers.expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _name: stack.pop()
    parser.CharacterDataHandler = text
    parser.EntityDeclHandler = declared
    parser.StartDoctypeDeclHandler = declared
    try:
        parser.Parse(body, True)
    except xml.parsers.expat.ExpatError:
        raise _malformed() from None
    return stack[0].children[0]


def _malformed() -> ApiError:
    return ApiError("MalformedXML", "The XML you provided was not well-formed or did not validate.")
