"""CloudWatch Logs: groups, streams, events."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, Row, Table, and_, insert, select
from sqlalchemy.exc import IntegrityError

from modeldyno.hosting.control.context import Context
from modeldyno.hosting.control.paging import listed, token_of, values_of
from modeldyno.hosting.state.tables import log_events, log_groups, log_streams
from modeldyno.hosting.wire.errors import ApiError

PAGE, MOST_EVENTS = 50, 10_000


def create_log_group(context: Context, given: dict[str, Any]) -> None:
    """Make a group. Raises ApiError where it exists."""
    with context.database.write() as connection:
        _made(connection, context, log_groups, "log group", name=given["logGroupName"])


def create_log_stream(context: Context, given: dict[str, Any]) -> None:
    """Make a stream. Raises ApiError where it exists, or where the group does not."""
    group, name = given["logGroupName"], given["logStreamName"]
    with context.database.write() as connection:
        _must_have_group(connection, context, group)
        _made(connection, context, log_streams, "log stream", group=group, name=name)


def put_log_events(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Keep events in the order of their times."""
    group, stream = given["logGroupName"], given["logStreamName"]
    now = _now_ms()
    where = {"account": context.account, "region": context.region, "group": group, "stream": stream}
    events = sorted(given["logEvents"], key=lambda event: int(event["timestamp"]))
    with context.database.write() as connection:
        _must_have_stream(connection, context, group, stream)
        connection.execute(
            insert(log_events),
            [
                {**where, "time_ms": each["timestamp"], "ingested_ms": now, "message": each["message"]}
                for each in events
            ],
        )
    return {"nextSequenceToken": token_of(now)}


def describe_log_groups(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Give one page of the groups, by name."""
    prefix = given.get("logGroupNamePrefix", "")
    rows, token = _named(context, log_groups, prefix, given, [])
    shown = [
        {"logGroupName": row.name, "creationTime": row.created_ms, "arn": _arn(context, row.name) + ":*"}
        for row in rows
    ]
    return _page(shown, "logGroups", token)


def describe_log_streams(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Give one page of a group's streams, by name."""
    group, prefix = _group(given), given.get("logStreamNamePrefix", "")
    with context.database.read() as connection:
        _must_have_group(connection, context, group)
    rows, token = _named(context, log_streams, prefix, given, [log_streams.c.group == group])
    shown = [
        {
            "logStreamName": row.name,
            "creationTime": row.created_ms,
            "arn": f"{_arn(context, group)}:log-stream:{row.name}",
        }
        for row in rows
    ]
    return _page(shown, "logStreams", token)


def get_log_events(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Give events of a stream. At the end the forward token is the one that was sent."""
    group, stream = _group(given), given["logStreamName"]
    columns, forward, last = log_events.c, given.get("startFromHead", False), None
    if "nextToken" in given:
        ahead, last = values_of(given["nextToken"], (str, int), _bad_token())
        forward = ahead == "f"
    where = [*_times(given), columns.stream == stream]
    if last is not None:
        where.append(columns.id > last if forward else columns.id < last)
    with context.database.read() as connection:
        _must_have_stream(connection, context, group, stream)
        rows = _events(connection, context, group, where, given, forward=forward)
    rows = rows if forward else rows[::-1]
    first, end = (rows[0].id, rows[-1].id) if rows else (last or 0, last or 0)
    return {
        "events": [_event(row) for row in rows],
        "nextForwardToken": token_of("f", end),
        "nextBackwardToken": token_of("b", first),
    }


def filter_log_events(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Give events of a group whose message holds every word of the pattern."""
    group, columns = _group(given), log_events.c
    where = _times(given)
    if "logStreamNames" in given:
        where.append(columns.stream.in_(given["logStreamNames"]))
    if "logStreamNamePrefix" in given:
        where.append(columns.stream.startswith(given["logStreamNamePrefix"], autoescape=True))
    for word in given.get("filterPattern", "").split():
        where.append(columns.message.contains(word.strip('"'), autoescape=True))
    if "nextToken" in given:
        (last,) = values_of(given["nextToken"], (int,), _bad_token())
        where.append(columns.id > last)
    with context.database.read() as connection:
        _must_have_group(connection, context, group)
        rows = _events(connection, context, group, where, given, forward=True)
    full = len(rows) == given.get("limit", MOST_EVENTS)
    shown = [{**_event(row), "logStreamName": row.stream, "eventId": f"{row.id:056d}"} for row in rows]
    return _page(shown, "events", token_of(rows[-1].id) if full else None) | {"searchedLogStreams": []}


def _events(
    connection: Connection,
    context: Context,
    group: str,
    where: list[Any],
    given: dict[str, Any],
    *,
    forward: bool,
) -> list[Row[Any]]:
    columns = log_events.c
    own = and_(
        columns.account == context.account, columns.region == context.region, columns.group == group, *where
    )
    order = columns.id.asc() if forward else columns.id.desc()
    many = given.get("limit", MOST_EVENTS)
    return list(connection.execute(select(log_events).where(own).order_by(order).limit(many)))


def _event(row: Row[Any]) -> dict[str, Any]:
    return {"timestamp": row.time_ms, "message": row.message, "ingestionTime": row.ingested_ms}


def _times(given: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    if "startTime" in given:
        found.append(log_events.c.time_ms >= given["startTime"])
    if "endTime" in given:
        found.append(log_events.c.time_ms < given["endTime"])
    return found


def _named(
    context: Context, table: Table, prefix: str, given: dict[str, Any], where: list[Any]
) -> tuple[list[Row[Any]], str | None]:
    columns = table.c
    where = [*where, columns.account == context.account, columns.region == context.region]
    where.append(columns.name.startswith(prefix, autoescape=True))
    if "nextToken" in given:
        (last,) = values_of(given["nextToken"], (str,), _bad_token())
        where.append(columns.name > last)
    many = given.get("limit", PAGE)
    with context.database.read() as connection:
        rows = list(connection.execute(select(table).where(*where).order_by(columns.name).limit(many + 1)))
    return rows[:many], token_of(rows[many - 1].name) if len(rows) > many else None


def _made(connection: Connection, context: Context, table: Table, words: str, **values: str) -> None:
    own = {"account": context.account, "region": context.region, "created_ms": _now_ms()}
    try:
        connection.execute(insert(table).values(**own, **values))
    except IntegrityError:
        raise ApiError("ResourceAlreadyExistsException", f"The specified {words} already exists") from None


def _must_have_group(connection: Connection, context: Context, group: str) -> None:
    own = (log_groups.c.account == context.account, log_groups.c.region == context.region)
    if connection.execute(select(log_groups.c.name).where(*own, log_groups.c.name == group)).first() is None:
        raise ApiError("ResourceNotFoundException", "The specified log group does not exist.")


def _must_have_stream(connection: Connection, context: Context, group: str, stream: str) -> None:
    _must_have_group(connection, context, group)
    columns = log_streams.c
    own = (columns.account == context.account, columns.region == context.region, columns.group == group)
    if connection.execute(select(columns.name).where(*own, columns.name == stream)).first() is None:
        raise ApiError("ResourceNotFoundException", "The specified log stream does not exist.")


def _group(given: dict[str, Any]) -> str:
    """Give the group that is meant, by its name or at the end of its ARN."""
    named = given.get("logGroupName") or given.get("logGroupIdentifier", "").partition(":log-group:")[2]
    if not named and not given.get("logGroupIdentifier"):
        raise ApiError("InvalidParameterException", "Give logGroupName or logGroupIdentifier.")
    return str(named or given["logGroupIdentifier"]).removesuffix(":*")


def _page(rows: list[dict[str, Any]], member: str, token: str | None) -> dict[str, Any]:
    found = listed(rows, member, None)
    return found | ({"nextToken": token} if token else {})


def _bad_token() -> ApiError:
    return ApiError("InvalidParameterException", "The specified nextToken is invalid.")


def _arn(context: Context, group: str) -> str:
    return f"arn:aws:logs:{context.region}:{context.account}:log-group:{group}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
