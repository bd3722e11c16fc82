"""Names of buckets and keys, by the rules of S3."""

from __future__ import annotations

import ipaddress
import re

from modeldyno.hosting.wire.errors import ApiError

MOST_KEY_BYTES = 1024
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_RESERVED_STARTS = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def check_bucket(name: str) -> None:
    """Raise ApiError InvalidBucketName for what can be no bucket."""
    good = _BUCKET.fullmatch(name) is not None and ".." not in name and not _is_address(name)
    if not good or name.startswith(_RESERVED_STARTS) or name.endswith(_RESERVED_ENDS):
        raise ApiError(
            "InvalidBucketName", "The specified bucket is not valid.", members={"BucketName": name}
        )


def check_key(key: str) -> None:
    """Raise ApiError for a key that is too long, no UTF-8, or a path that climbs above its bucket.

    Such a path could do nothing here, as objects lie under names of ours; a program that writes it below a
    folder of its own would be led outside.
    """
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise ApiError("InvalidURI", "The key is not valid UTF-8.") from None
    if size > MOST_KEY_BYTES:
        raise ApiError("KeyTooLongError", "Your key is too long.", members={"Size": size})
    if "\0" in key or climbs(key):
        raise ApiError("InvalidURI", "Couldn't parse the specified URI.")


def climbs(path: str) -> bool:
    """Whether a path leads above where it starts."""
    depth = 0
    for part in path.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            return True
    return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
