"""What of an artifact can be observed: the session of one compiled shape."""

from __future__ import annotations

import math

from modeldyno.base.errors import ConfigError
from modeldyno.runtime.sessions.axes import Sizes, shown_sizes
from modeldyno.runtime.sessions.base import AnySession
from modeldyno.runtime.sessions.buckets import BucketedSession


def one_shape(session: AnySession, sizes: Sizes | None) -> AnySession:
    """Give the session of one compiled shape: that of `sizes`, or the largest.

    Raises:
        ConfigError: there is no such bucket.
    """
    if isinstance(session, BucketedSession):
        return session.part(sizes or max(session.buckets, key=math.prod))
    if sizes is not None:
        raise ConfigError(f"no bucket {shown_sizes(sizes)}: this artifact has one shape")
    return session


def segments_apart(opened: AnySession, session: AnySession) -> str:
    """Say which segments can be profiled, each by itself, and where they lie."""
    found = opened.manifest.buckets
    of_bucket = (
        [bucket.folder for bucket in found.buckets if opened.part(bucket.sizes) is session]
        if (found and isinstance(opened, BucketedSession))
        else []
    )
    inside = "".join(f"{folder}/" for folder in of_bucket)
    names = [f"{inside}{each.path}" for each in session.manifest.segments if each.is_compiled]
    return (
        "an artifact of segments can't be observed as one; its compiled segments can, each by itself: "
        + ", ".join(names)
    )
