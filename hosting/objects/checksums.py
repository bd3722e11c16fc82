"""The checksums that S3 knows: which a request names, and whether they are right."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Mapping
from typing import Protocol

from modeldyno.hosting.objects.crc import CRC32C, CRC64NVME, Crc
from modeldyno.hosting.wire.errors import ApiError

ALGORITHMS = ("crc32", "crc32c", "crc64nvme", "sha1", "sha256")
PREFIX = "x-amz-checksum-"


class Summing(Protocol):
    """A checksum that is fed piece by piece."""

    def update(self, piece: bytes) -> None:
        """Take the next piece."""

    def digest(self) -> bytes:
        """Give the value."""
        ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, piece: bytes) -> None:
        self._value = zlib.crc32(piece, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def made(algorithm: str) -> Summing:
    """Begin a checksum."""
    if algorithm == "crc32":
        return _Crc32()
    if algorithm in ("crc32c", "crc64nvme"):
        return Crc(CRC32C if algorithm == "crc32c" else CRC64NVME)
    return hashlib.new(algorithm, usedforsecurity=False)


class Checked:
    """MD5 and the checksums that a request names, over its body."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._expected = {name: headers[PREFIX + name] for name in ALGORITHMS if PREFIX + name in headers}
        trailer = headers.get("x-amz-trailer", "").strip().lower()
        named = trailer.removeprefix(PREFIX) or headers.get("x-amz-sdk-checksum-algorithm", "").lower()
        wanted = {*self._expected, *({named} & set(ALGORITHMS))}
        self._content_md5 = headers.get("content-md5")
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.size = 0
        self._sums = {name: made(name) for name in sorted(wanted)}

    def update(self, piece: bytes) -> None:
        """Take the next piece."""
        self.md5.update(piece)
        self.size += len(piece)
        for each in self._sums.values():
            each.update(piece)

    def finish(self, trailers: Mapping[str, str]) -> dict[str, str]:
        """Give the checksums in base 64, by name. Raises ApiError BadDigest where one is not as told."""
        found = {name: base64.b64encode(each.digest()).decode() for name, each in self._sums.items()}
        told = self._expected | {
            name: trailers[PREFIX + name] for name in ALGORITHMS if PREFIX + name in trailers
        }
        for name, value in told.items():
            if found.get(name) != value:
                raise ApiError(
                    "BadDigest", f"The {name.upper()} you specified did not match the calculated checksum."
                )
        if self._content_md5 and self._content_md5 != base64.b64encode(self.md5.digest()).decode():
            raise ApiError("BadDigest", "The Content-MD5 you specified did not match what we received.")
        return found
