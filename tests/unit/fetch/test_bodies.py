"""The bytes of a body decide how it is encoded; the header tells only what to try."""

import gzip
import zlib
from collections.abc import Callable

import brotli
import pytest
from backports import zstd

from kaption.workers.fetch.body import is_whole_image, plain_body
from kaption.workers.fetch.fetcher import Fetcher
from kaption.workers.runtime.stage import Reject
from support.hostile_web import HostileWeb

pytestmark = pytest.mark.slow

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200)) + b"IEND\xaeB`\x82"
RAW_DEFLATE = zlib.compress(PNG)[2:-4]
OK = b"HTTP/1.1 200 OK\r\n"


def fetched(web: HostileWeb, make_fetcher: Callable[..., Fetcher], answer: bytes) -> bytes:
    web.raw["answer"] = answer
    return make_fetcher().fetch(web.url("raw/answer")).data


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "zstd", "compress", "exi", "gzip, br"])
def test_a_plain_body_under_the_name_of_a_coding_is_read(coding: str) -> None:
    assert plain_body(PNG, coding, 10_000) == PNG


@pytest.mark.parametrize(
    ("body", "codings"),
    [
        (gzip.compress(PNG), ""),
        (zstd.compress(PNG), ""),
        (gzip.compress(gzip.compress(PNG)), "gzip"),
        (gzip.compress(gzip.compress(PNG)), "gzip, gzip"),
        (gzip.compress(PNG), "gzip, gzip"),
        (zlib.compress(PNG), "deflate"),
        (RAW_DEFLATE, "deflate"),
        (brotli.compress(PNG), "br"),
        (zstd.compress(PNG), "zstd"),
        (gzip.compress(PNG[:50]) + gzip.compress(PNG[50:]), "x-gzip"),
        (gzip.compress(brotli.compress(PNG)), "br, gzip"),
        (gzip.compress(PNG), "br"),
        (zstd.compress(PNG), "gzip"),
        (gzip.compress(PNG), "zstd, deflate"),
    ],
)
def test_a_packed_body_is_unpacked(body: bytes, codings: str) -> None:
    assert plain_body(body, codings, 10_000) == PNG


def test_a_body_that_is_packed_without_end_is_cut() -> None:
    bomb = gzip.compress(gzip.compress(bytes(50_000_000)))

    assert len(plain_body(bomb, "", 1_000_000)) < 3_000_000


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
SIZE = b"%x" % len(PNG)


@pytest.mark.parametrize(
    "answer",
    [
        CHUNKED + SIZE + b"\n" + PNG + b"\n0\n\n",
        CHUNKED + b"4\n" + PNG[:4] + b"\n%x\n" % (len(PNG) - 4) + PNG[4:] + b"\n0\n\n",
        CHUNKED + SIZE + b';a="b";c\r\n' + PNG + b"\r\n0\r\nX: y\r\n\r\n",
        CHUNKED + SIZE + b"  \r\n" + PNG + b"\r\n",
        CHUNKED.replace(b"chunked", b"gzip, chunked")
        + b"%x\r\n" % len(gzip.compress(PNG))
        + gzip.compress(PNG)
        + b"\r\n0\r\n\r\n",
        OK + b"Connection: close\r\nContent-Length: 9999\r\n\r\n" + PNG,
        b"HTTP/1.1 206 P\r\nContent-Range: bytes=0-%d\r\n\r\n" % (len(PNG) - 1) + PNG,
        b"HTTP/1.1 206 P\r\nContent-Range: bytes */9\r\n\r\n" + PNG,
    ],
)
def test_an_oddly_framed_image_is_read(
    web: HostileWeb, make_fetcher: Callable[..., Fetcher], answer: bytes
) -> None:
    assert fetched(web, make_fetcher, answer) == PNG


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 9999\r\n\r\n" + PNG[:-1],
        CHUNKED + b"fff\r\n" + PNG[:-1],
    ],
)
def test_a_cut_image_is_none(
    web: HostileWeb, make_fetcher: Callable[..., Fetcher], answer: bytes
) -> None:
    with pytest.raises(Reject):
        fetched(web, make_fetcher, answer)


@pytest.mark.parametrize(
    ("content", "whole"),
    [
        (b"\xff\xd8\xff\xe0data\xff\xd9", True),
        (b"\xff\xd8\xff\xe0data", False),
        (b"GIF89adata\0;", True),
        (b"GIF89adata", False),
        (b"RIFF\x08\0\0\0WEBPdata", True),
        (b"RIFF\x09\0\0\0WEBPdata", False),
        (b"<html></html>", False),
    ],
)
def test_an_image_tells_by_its_end_whether_it_is_whole(content: bytes, whole: bool) -> None:
    assert is_whole_image(content) is whole
