"""Bodies on their way to the disk, in flat memory: decoded, summed, written, kept or dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from modeldyno.hosting.objects.call import S3Call
from modeldyno.hosting.objects.checksums import Checked
from modeldyno.hosting.objects.chunked import Decoder, is_chunked
from modeldyno.hosting.objects.files import Files
from modeldyno.hosting.wire.errors import ApiError
from modeldyno.hosting.wire.messages import Answer

MOST_BYTES = 5 * 1024**3  # of one PUT or part, as on AWS


@dataclass(frozen=True)
class Kept:
    """A body that is whole, under its name in `Files`; no row names it yet."""

    file: str
    size: int
    etag: str
    checksums: dict[str, str]


class Writer:
    """Writes one body to a file. `keep` or `drop` ends it."""

    def __init__(self, files: Files, checked: Checked) -> None:
        self._files, self.checked = files, checked
        self._name, self._file = files.new()

    def write(self, piece: bytes) -> None:
        """Take the next piece. Raises ApiError EntityTooLarge."""
        self.checked.update(piece)
        if self.checked.size > MOST_BYTES:
            raise ApiError("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
        self._files.check_room(len(piece))
        view = memoryview(piece)
        while view:
            view = view[self._file.write(view) :]

    def keep(self, trailers: dict[str, str] | None = None) -> Kept:
        """Check the sums and give the file its place. Raises ApiError BadDigest."""
        checksums = self.checked.finish(trailers or {})
        self._file.close()
        self._files.keep(self._name)
        return Kept(self._name, self.checked.size, self.checked.md5.hexdigest(), checksums)

    def drop(self) -> None:
        """Leave nothing behind."""
        self._file.close()
        self._files.drop(self._name)


class Upload:
    """The sink of PutObject and UploadPart; `stored` writes the row and answers."""

    def __init__(self, call: S3Call, stored: Callable[[S3Call, Kept], Answer]) -> None:
        self._call, self._stored = call, stored
        headers = call.head.headers
        self._decoder = Decoder() if is_chunked(headers) else None
        self._told = headers.get("x-amz-decoded-content-length", "")
        self._writer = Writer(call.place.files, Checked(headers))

    def write(self, piece: bytes) -> None:
        """Take the next piece, as sent."""
        for data in self._decoder.feed(piece) if self._decoder else (piece,):
            self._writer.write(data)

    def finish(self) -> Answer:
        """Check and keep the body."""
        trailers = self._decoder.finish() if self._decoder else {}
        if self._decoder and self._told and self._told != str(self._writer.checked.size):
            raise ApiError(
                "IncompleteBody", "You did not provide the number of bytes specified by the header."
            )
        kept = self._writer.keep(trailers)
        return stored_or_removed(self._call, kept, self._stored)

    def abort(self) -> None:
        """Leave nothing behind."""
        self._writer.drop()


def stored_or_removed(call: S3Call, kept: Kept, stored: Callable[[S3Call, Kept], Answer]) -> Answer:
    """Write the row of a body; where that fails, its file goes."""
    try:
        return stored(call, kept)
    except BaseException:
        call.place.files.remove(kept.file)
        raise


def copied(files: Files, source: Iterator[bytes], headers: dict[str, str]) -> Kept:
    """Write a copy of what `source` gives."""
    writer = Writer(files, Checked(headers))
    try:
        for piece in source:
            writer.write(piece)
        return writer.keep()
    except BaseException:
        writer.drop()
        raise
