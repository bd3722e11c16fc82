"""Digests of several things at once: names and values, whose borders are in the digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable


def digest_named(parts: Iterable[tuple[str, object]]) -> str:
    """BLAKE2b-256 over names and plain values, in the order of the names, as hexadecimal text."""
    text = json.dumps(sorted(parts, key=lambda part: part[0]), sort_keys=True, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=32).hexdigest()
