"""CloudWatch Logs: events of streams."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, and_, insert, select

from modeldyno.hosting.control.context import Context
from modeldyno.hosting.control.logs import (
    as_page,
    bad_token,
    group_of,
    must_have_group,
    must_have_stream,
    now_ms,
)
from modeldyno.hosting.control.paging import token_of, values_of
from modeldyno.hosting.state.tables import log_events

MOST_EVENTS = 10_000


def put_log_events(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Keep events in the order of their times."""
    group, stream = given["logGroupName"], given["logStreamName"]
    now = now_ms()
    where = {"account": context.account, "region": context.region, "group": group, "stream": stream}
    events = sorted(given["logEvents"], key=lambda event: int(event["timestamp"]))
    with context.database.write() as connection:
        must_have_stream(connection, context, group, stream)
        connection.execute(
            insert(log_events),
            [
                {**where, "time_ms": each["timestamp"], "ingested_ms": now, "message": each["message"]}
                for each in events
            ],
        )
    return {"nextSequenceToken": token_of(now)}


def get_log_events(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Give events of a stream. At the end the forward token is the one that was sent."""
    group, stream = group_of(given), given["logStreamName"]
    columns, forward, last = log_events.c, given.get("startFromHead", False), None
    if "nextToken" in given:
        ahead, last = values_of(given["nextToken"], (str, int), bad_token())
        forward = ahead == "f"
    where = [*_times(given), columns.stream == stream]
    if last is not None:
        where.append(columns.id > last if forward else columns.id < last)
    with context.database.read() as connection:
        must_have_stream(connection, context, group, stream)
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
    group, columns = group_of(given), log_events.c
    where = _times(given)
    if "logStreamNames" in given:
        where.append(columns.stream.in_(given["logStreamNames"]))
    if "logStreamNamePrefix" in given:
        where.append(columns.stream.startswith(given["logStreamNamePrefix"], autoescape=True))
    for word in given.get("filterPattern", "").split():
        where.append(columns.message.contains(word.strip('"'), autoescape=True))
    if "nextToken" in given:
        (last,) = values_of(given["nextToken"], (int,), bad_token())
        where.append(columns.id > last)
    with context.database.read() as connection:
        must_have_group(connection, context, group)
        rows = _events(connection, context, group, where, given, forward=True)
    full = len(rows) == given.get("limit", MOST_EVENTS)
    shown = [{**_event(row), "logStreamName": row.stream, "eventId": f"{row.id:056d}"} for row in rows]
    return as_page(shown, "events", token_of(rows[-1].id) if full else None) | {"searchedLogStreams": []}


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
