"""List operations: filters, order, pages. A token holds the last key shown, so inserts repeat nothing."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson
from sqlalchemy import Row, and_, or_, select

from modeldyno.hosting.control.context import Context, Kind
from modeldyno.hosting.state.tables import resources
from modeldyno.hosting.wire.errors import ApiError, validation

DEFAULT_PAGE = 10


def token_of(*values: object) -> str:
    """Write a token."""
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode()


def values_of(token: str, kinds: tuple[type, ...], refused: ApiError) -> list[Any]:
    """Read a token; raises `refused` where it is none of ours."""
    try:
        values = orjson.loads(base64.urlsafe_b64decode(token.encode()))
    except (binascii.Error, ValueError):
        raise refused from None
    if not isinstance(values, list) or [type(each) for each in values] != list(kinds):
        raise refused
    return values


def page(context: Context, kind: Kind, given: dict[str, Any]) -> tuple[list[Row[Any]], str | None]:
    """Give the rows of one page and the token of the next."""
    columns = resources.c
    order = given.get("SortBy", "CreationTime")
    column = {"Name": columns.name, "Status": columns.status}.get(order, columns.created)
    rising = given.get("SortOrder", "Descending") == "Ascending"
    where = [columns.account == context.account, columns.region == context.region, columns.kind == kind.part]
    where += _filters(given)
    if "NextToken" in given:
        kinds = (str, float if column is columns.created else str, str)
        asked, last, name = values_of(given["NextToken"], kinds, validation("The NextToken is not valid."))
        if asked != order:
            raise validation("The NextToken is of a list in another order.")
        if rising:
            where.append(or_(column > last, and_(column == last, columns.name > name)))
        else:
            where.append(or_(column < last, and_(column == last, columns.name < name)))
    many = given.get("MaxResults", DEFAULT_PAGE)
    ordered = [each.asc() if rising else each.desc() for each in (column, columns.name)]
    with context.database.read() as connection:
        rows = list(connection.execute(select(resources).where(*where).order_by(*ordered).limit(many + 1)))
    if len(rows) <= many:
        return rows, None
    end = rows[many - 1]
    return rows[:many], token_of(order, getattr(end, column.name), end.name)


def listed(rows: list[dict[str, Any]], member: str, token: str | None) -> dict[str, Any]:
    """Give the answer of a list operation."""
    return {member: rows, **({"NextToken": token} if token else {})}


def _filters(given: dict[str, Any]) -> list[Any]:
    columns = resources.c
    found = []
    if "NameContains" in given:
        found.append(columns.name.contains(given["NameContains"], autoescape=True))
    if "StatusEquals" in given:
        found.append(columns.status == given["StatusEquals"])
    for member, column in (("CreationTime", columns.created), ("LastModifiedTime", columns.modified)):
        if f"{member}Before" in given:
            found.append(column < given[f"{member}Before"])
        if f"{member}After" in given:
            found.append(column > given[f"{member}After"])
    return found
