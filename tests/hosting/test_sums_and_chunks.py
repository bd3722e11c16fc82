"""Checksums against known values, and bodies in chunks, however they are cut."""

from __future__ import annotations

import base64
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeldyno.hosting.objects.checksums import Checked, made
from modeldyno.hosting.objects.chunked import Decoder
from modeldyno.hosting.wire.errors import ApiError

SIGNED = (
    b"4;chunk-signature=ad80c730\r\nWiki\r\n5;chunk-signature=00\r\npedia\r\n0;chunk-signature=b6\r\n"
    b"x-amz-checksum-crc32:rarALg==\r\nx-amz-trailer-signature:63\r\n\r\n"
)


@pytest.mark.parametrize(
    ("name", "value"),
    [("crc32", "cbf43926"), ("crc32c", "e3069283"), ("crc64nvme", "ae8b14860a799888")],
)
def test_the_check_values_of_the_catalogue_of_crcs(name: str, value: str) -> None:
    total = made(name)
    total.update(b"123456789")
    assert total.digest().hex() == value


@pytest.mark.parametrize("name", ["crc32c", "crc64nvme"])
def test_long_pieces_have_the_sum_of_short_ones(name: str) -> None:
    data = random.Random(1).randbytes(300_001)  # noqa: S311 - no secret
    long, short = made(name), made(name)
    long.update(data[:7])
    long.update(data[7:])
    for start in range(0, len(data), 9_000):
        short.update(data[start : start + 9_000])
    assert long.digest() == short.digest()


def decoded(body: bytes, cuts: list[int]) -> tuple[bytes, dict[str, str]]:
    decoder, data, at = Decoder(), b"", 0
    for cut in [*sorted(cuts), len(body)]:
        data += b"".join(decoder.feed(body[at:cut]))
        at = max(at, cut)
    return data, decoder.finish()


@given(st.lists(st.integers(0, len(SIGNED)), max_size=12))
@settings(max_examples=200, deadline=None)
def test_a_chunked_body_is_the_same_however_it_is_cut(cuts: list[int]) -> None:
    data, trailers = decoded(SIGNED, cuts)
    assert data == b"Wikipedia"
    assert trailers["x-amz-checksum-crc32"] == "rarALg=="
    assert base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode() == "rarALg=="


@pytest.mark.parametrize(
    "body",
    [
        b"4\r\nWikipedia\r\n0\r\n\r\n",
        b"xyz\r\n",
        b"-1\r\n",
        b"\r\n",
        b"0\r\n\r\nmore\r\n",
        b"4" * 5000,
        b"4\r\nWi",
    ],
    ids=["too long", "no number", "negative", "empty size", "data behind", "long line", "cut off"],
)
def test_a_malformed_chunked_body_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError):
        decoded(body, [])


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_decoded_or_refused(body: bytes) -> None:
    try:
        decoded(body, [len(body) // 2])
    except ApiError as error:
        assert error.status == 400  # noqa: PT017 - any bytes may also be right


def test_a_wrong_sum_is_refused_in_a_header_and_in_a_trailer() -> None:
    for headers, trailers in (
        ({"x-amz-checksum-crc32": "AAAAAA=="}, {}),
        ({"x-amz-trailer": "x-amz-checksum-crc64nvme"}, {"x-amz-checksum-crc64nvme": "AAAAAAAAAAA="}),
        ({"content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="}, {}),
    ):
        checked = Checked(headers)
        checked.update(b"some")
        with pytest.raises(ApiError, match="BadDigest"):
            checked.finish(trailers)
