"""Buckets: made, listed, looked for, deleted."""

from __future__ import annotations

import time

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from modeldyno.hosting.objects.call import S3Call, as_xml, must_have_bucket
from modeldyno.hosting.objects.names import check_bucket
from modeldyno.hosting.state.tables import buckets, objects, uploads
from modeldyno.hosting.wire.dispatch import DEFAULT_REGION, REGION
from modeldyno.hosting.wire.errors import ApiError
from modeldyno.hosting.wire.messages import Answer
from modeldyno.hosting.wire.xml_form import parsed


def list_buckets(call: S3Call, _body: bytes) -> Answer:
    """All buckets of the account."""
    with call.place.database.read() as connection:
        rows = connection.execute(select(buckets).order_by(buckets.c.name)).all()
    found = [{"Name": row.name, "CreationDate": row.created} for row in rows]
    owner = {"ID": call.place.account, "DisplayName": "dyno"}
    return as_xml("ListBuckets", {"Buckets": found, "Owner": owner}, "ListAllMyBucketsResult")


def create_bucket(call: S3Call, body: bytes) -> Answer:
    """Make a bucket. One that is there is an error, but in us-east-1, as on AWS."""
    check_bucket(call.bucket)
    region = (parsed(body).first("LocationConstraint") if body.strip() else None) or call.region
    if not REGION.fullmatch(region):
        raise ApiError("InvalidLocationConstraint", "The specified location-constraint is not valid")
    try:
        with call.place.database.write() as connection:
            connection.execute(insert(buckets).values(name=call.bucket, region=region, created=time.time()))
    except IntegrityError:
        if region != DEFAULT_REGION:
            raise ApiError(
                "BucketAlreadyOwnedByYou",
                "Your previous request to create the named bucket succeeded and you already own it.",
                409,
            ) from None
    return Answer(200, {"location": f"/{call.bucket}"})


def head_bucket(call: S3Call, _body: bytes) -> Answer:
    """Whether there is one."""
    with call.place.database.read() as connection:
        row = must_have_bucket(connection, call.bucket)
    return Answer(200, {"x-amz-bucket-region": row.region, "content-type": "application/xml"})


def delete_bucket(call: S3Call, _body: bytes) -> Answer:
    """Delete an empty one."""
    with call.place.database.write() as connection:
        must_have_bucket(connection, call.bucket)
        for table in (objects, uploads):
            if connection.execute(select(table.c.bucket).where(table.c.bucket == call.bucket)).first():
                raise ApiError("BucketNotEmpty", "The bucket you tried to delete is not empty", 409)
        connection.execute(delete(buckets).where(buckets.c.name == call.bucket))
    return Answer(204)


def get_location(call: S3Call, _body: bytes) -> Answer:
    """The region; us-east-1 is written as nothing."""
    with call.place.database.read() as connection:
        region = must_have_bucket(connection, call.bucket).region
    said = "" if region == DEFAULT_REGION else region
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{said}</LocationConstraint>'
    )
    return Answer(200, {"content-type": "application/xml"}, text.encode())
