"""CloudWatch Logs: groups and streams."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, Row, Table, insert, select
from sqlalchemy.exc import IntegrityError

from modeldyno.hosting.control.context import Context
from modeldyno.hosting.control.paging import listed, token_of, values_of
from modeldyno.hosting.state.tables import log_groups, log_streams
from modeldyno.hosting.wire.errors import ApiError

PAGE = 50


def create_log_group(context: Context, given: dict[str, Any]) -> None:
    """Make a group. Raises ApiError where it exists."""
    with context.database.write() as connection:
        _made(connection, context, log_groups, "log group", name=given["logGroupName"])


def create_log_stream(context: Context, given: dict[str, Any]) -> None:
    """Make a stream. Raises ApiError where it exists, or where the group does not."""
    group, name = given["logGroupName"], given["logStreamName"]
    with context.database.write() as connection:
        must_have_group(connection, context, group)
        _made(connection, context, log_streams, "log stream", group=group, name=name)


def describe_log_groups(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Give one page of the groups, by name."""
    prefix = given.get("logGroupNamePrefix", "")
    rows, token = _named(context, log_groups, prefix, given, [])
    shown = [
        {"logGroupName": row.name, "creationTime": row.created_ms, "arn": _arn(context, row.name) + ":*"}
        for row in rows
    ]
    return as_page(shown, "logGroups", token)


def describe_log_streams(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Give one page of a group's streams, by name."""
    group, prefix = group_of(given), given.get("logStreamNamePrefix", "")
    with context.database.read() as connection:
        must_have_group(connection, context, group)
    rows, token = _named(context, log_streams, prefix, given, [log_streams.c.group == group])
    shown = [
        {
            "logStreamName": row.name,
            "creationTime": row.created_ms,
            "arn": f"{_arn(context, group)}:log-stream:{row.name}",
        }
        for row in rows
    ]
    return as_page(shown, "logStreams", token)


def _named(
    context: Context, table: Table, prefix: str, given: dict[str, Any], where: list[Any]
) -> tuple[list[Row[Any]], str | None]:
    columns = table.c
    where = [*where, columns.account == context.account, columns.region == context.region]
    where.append(columns.name.startswith(prefix, autoescape=True))
    if "nextToken" in given:
        (last,) = values_of(given["nextToken"], (str,), bad_token())
        where.append(columns.name > last)
    many = given.get("limit", PAGE)
    with context.database.read() as connection:
        rows = list(connection.execute(select(table).where(*where).order_by(columns.name).limit(many + 1)))
    return rows[:many], token_of(rows[many - 1].name) if len(rows) > many else None


def _made(connection: Connection, context: Context, table: Table, words: str, **values: str) -> None:
    own = {"account": context.account, "region": context.region, "created_ms": now_ms()}
    try:
        connection.execute(insert(table).values(**own, **values))
    except IntegrityError:
        raise ApiError("ResourceAlreadyExistsException", f"The specified {words} already exists") from None


def must_have_group(connection: Connection, context: Context, group: str) -> None:
    """Raise ApiError where there is no such group."""
    own = (log_groups.c.account == context.account, log_groups.c.region == context.region)
    if connection.execute(select(log_groups.c.name).where(*own, log_groups.c.name == group)).first() is None:
        raise ApiError("ResourceNotFoundException", "The specified log group does not exist.")


def must_have_stream(connection: Connection, context: Context, group: str, stream: str) -> None:
    """Raise ApiError where there is no such group or stream."""
    must_have_group(connection, context, group)
    columns = log_streams.c
    own = (columns.account == context.account, columns.region == context.region, columns.group == group)
    if connection.execute(select(columns.name).where(*own, columns.name == stream)).first() is None:
        raise ApiError("ResourceNotFoundException", "The specified log stream does not exist.")


def group_of(given: dict[str, Any]) -> str:
    """Give the group that is meant, by its name or at the end of its ARN."""
    named = given.get("logGroupName") or given.get("logGroupIdentifier", "").partition(":log-group:")[2]
    if not named and not given.get("logGroupIdentifier"):
        raise ApiError("InvalidParameterException", "Give logGroupName or logGroupIdentifier.")
    return str(named or given["logGroupIdentifier"]).removesuffix(":*")


def as_page(rows: list[dict[str, Any]], member: str, token: str | None) -> dict[str, Any]:
    """Give the answer of a list operation of Logs."""
    found = listed(rows, member, None)
    return found | ({"nextToken": token} if token else {})


def bad_token() -> ApiError:
    """Say that a token is none of ours."""
    return ApiError("InvalidParameterException", "The specified nextToken is invalid.")


def _arn(context: Context, group: str) -> str:
    return f"arn:aws:logs:{context.region}:{context.account}:log-group:{group}"


def now_ms() -> int:
    """Give the time in milliseconds."""
    return time.time_ns() // 1_000_000
