"""The tables. Objects of S3 and parts of uploads are files beside them; a row names its file."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Index, Integer, MetaData, String, Table

metadata = MetaData()


def _text(name: str, *, key: bool = False) -> Column[str]:
    return Column(name, String, primary_key=key, nullable=False)


resources = Table(
    "resources",
    metadata,
    *(_text(name, key=True) for name in ("account", "region", "kind", "name")),
    _text("arn"),
    Column("created", Float, nullable=False),
    Column("modified", Float, nullable=False),
    _text("status"),
    Column("desired", JSON, nullable=False),
    Column("observed", JSON, nullable=False),
)
tags = Table("tags", metadata, _text("arn", key=True), _text("key", key=True), _text("value"))
buckets = Table(
    "buckets", metadata, _text("name", key=True), _text("region"), Column("created", Float, nullable=False)
)
objects = Table(
    "objects",
    metadata,
    _text("bucket", key=True),
    _text("key", key=True),
    _text("file"),
    Column("size", Integer, nullable=False),
    _text("etag"),
    Column("modified", Float, nullable=False),
    Column("headers", JSON, nullable=False),
    Column("checksums", JSON, nullable=False),
)
uploads = Table(
    "uploads",
    metadata,
    _text("id", key=True),
    _text("bucket"),
    _text("key"),
    Column("created", Float, nullable=False),
    Column("headers", JSON, nullable=False),
)
parts = Table(
    "parts",
    metadata,
    _text("upload", key=True),
    Column("number", Integer, primary_key=True),
    _text("file"),
    Column("size", Integer, nullable=False),
    _text("etag"),
    Column("modified", Float, nullable=False),
    Column("checksums", JSON, nullable=False),
)
log_groups = Table(
    "log_groups",
    metadata,
    *(_text(name, key=True) for name in ("account", "region", "name")),
    Column("created_ms", Integer, nullable=False),
)
log_streams = Table(
    "log_streams",
    metadata,
    *(_text(name, key=True) for name in ("account", "region", "group", "name")),
    Column("created_ms", Integer, nullable=False),
)
log_events = Table(
    "log_events",
    metadata,
    Column("id", Integer, primary_key=True),
    *(_text(name) for name in ("account", "region", "group", "stream")),
    Column("time_ms", Integer, nullable=False),
    Column("ingested_ms", Integer, nullable=False),
    _text("message"),
)
Index(
    "log_events_of_a_stream", *(log_events.c[name] for name in ("account", "region", "group", "stream", "id"))
)
