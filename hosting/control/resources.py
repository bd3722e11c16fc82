"""Resources in the state: made once, found, listed by page, deleted; and their tags."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, insert, select
from sqlalchemy.exc import IntegrityError

from modeldyno.hosting.control.context import Context, Kind
from modeldyno.hosting.state.tables import resources, tags
from modeldyno.hosting.wire.errors import validation


def key_of(context: Context, kind: Kind, name: str) -> Any:
    """Give the condition that picks one resource."""
    columns = resources.c
    return and_(
        columns.account == context.account,
        columns.region == context.region,
        columns.kind == kind.part,
        columns.name == name,
    )


def find(connection: Connection, context: Context, kind: Kind, name: str) -> Row[Any]:
    """Give a resource. Raises ApiError with AWS's words where there is none."""
    row = connection.execute(select(resources).where(key_of(context, kind, name))).first()
    if row is None:
        raise validation(f'Could not find {kind.words} "{kind.arn(context, name)}".')
    return row


def described(context: Context, kind: Kind, name: str) -> Row[Any]:
    """Give a resource, in a transaction of its own."""
    with context.database.read() as connection:
        return find(connection, context, kind, name)


def create(
    connection: Connection, context: Context, kind: Kind, given: dict[str, Any], observed: dict[str, Any]
) -> str:
    """Keep a new resource and its tags; gives its ARN. Raises ApiError where the name is taken.

    observed: what is true of it now; its member Status is kept as the status.
    """
    name = given[f"{kind.member}Name"]
    arn, now = kind.arn(context, name), time.time()
    desired = {member: value for member, value in given.items() if member != "Tags"}
    try:
        connection.execute(
            insert(resources).values(
                account=context.account,
                region=context.region,
                kind=kind.part,
                name=name,
                arn=arn,
                created=now,
                modified=now,
                status=observed.get("Status", ""),
                desired=desired,
                observed=observed,
            )
        )
    except IntegrityError:
        raise validation(f'Cannot create already existing {kind.words} "{arn}".') from None
    for tag in given.get("Tags", []):
        connection.execute(
            insert(tags).prefix_with("OR REPLACE").values(arn=arn, key=tag["Key"], value=tag["Value"])
        )
    return arn


def remove(context: Context, kind: Kind, name: str) -> None:
    """Delete a resource and its tags. Raises ApiError where there is none."""
    with context.database.write() as connection:
        row = find(connection, context, kind, name)
        connection.execute(delete(resources).where(key_of(context, kind, name)))
        same = select(resources.c.name).where(resources.c.arn == row.arn)
        if connection.execute(same).first() is None:  # names that differ in case share an ARN
            connection.execute(delete(tags).where(tags.c.arn == row.arn))
