"""AddTags, ListTags, DeleteTags."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from modeldyno.hosting.control.context import ARN, KINDS, Context
from modeldyno.hosting.control.paging import listed, token_of, values_of
from modeldyno.hosting.state.tables import resources, tags
from modeldyno.hosting.wire.errors import validation

MOST_TAGS, PAGE = 50, 50


def add_tags(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Add or replace tags; gives all."""
    arn = given["ResourceArn"].lower()
    with context.database.write() as connection:
        _must_exist(connection, context, arn)
        for tag in given["Tags"]:
            values = {"arn": arn, "key": tag["Key"], "value": tag["Value"]}
            connection.execute(insert(tags).prefix_with("OR REPLACE").values(**values))
        count = connection.execute(select(func.count()).where(tags.c.arn == arn)).scalar_one()
        if count > MOST_TAGS:
            raise validation(f"A resource has at most {MOST_TAGS} tags; these would make {count}.")
        return {"Tags": _rows(connection, arn)}


def list_tags(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Give one page."""
    arn, last = given["ResourceArn"].lower(), ""
    if "NextToken" in given:
        (last,) = values_of(given["NextToken"], (str,), validation("The NextToken is not valid."))
    many = given.get("MaxResults", PAGE)
    with context.database.read() as connection:
        _must_exist(connection, context, arn)
        found = [each for each in _rows(connection, arn) if each["Key"] > last]
    more = token_of(found[many - 1]["Key"]) if len(found) > many else None
    return listed(found[:many], "Tags", more)


def delete_tags(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Delete tags; those that are not there are no error."""
    arn = given["ResourceArn"].lower()
    with context.database.write() as connection:
        _must_exist(connection, context, arn)
        connection.execute(delete(tags).where(tags.c.arn == arn, tags.c.key.in_(given["TagKeys"])))
    return {}


def _rows(connection: Connection, arn: str) -> list[dict[str, Any]]:
    rows = connection.execute(select(tags).where(tags.c.arn == arn).order_by(tags.c.key))
    return [{"Key": row.key, "Value": row.value} for row in rows]


def _must_exist(connection: Connection, context: Context, arn: str) -> None:
    found = ARN.fullmatch(arn)
    if found is None or found["account"] != context.account or found["part"] not in KINDS:
        raise validation(f'Could not find resource "{arn}".')
    if connection.execute(select(resources.c.name).where(resources.c.arn == arn)).first() is None:
        raise validation(f'Could not find {KINDS[found["part"]].words} "{arn}".')
