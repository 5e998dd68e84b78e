"""Bodies are decoded as they are encoded, whatever their headers say."""

import gzip
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import brotli
import pytest

from kaption.producers.archives.bodies import decoded
from kaption.producers.sources import Unreadable, open_source
from kaption.schemas import RawPair
from kaption.schemas.limits import RAW_BYTES
from support.memory import peak_of
from support.source_inputs import IMAGE, page, warc_record

HTML = b"<!DOCTYPE html>" + page(['<img src="/1.jpg" alt="a mug">']) + b"<p>filler</p>" * 50


def chunked(content: bytes) -> bytes:
    half = len(content) // 2
    parts = (content[:half], content[half:])
    chunks = b"".join(b"%X;x=y\r\n%s\r\n" % (len(part), part) for part in parts)
    return chunks + b"0\r\n\r\n"


def damaged(packed: bytes) -> bytes:
    half = len(packed) // 2
    return packed[:half] + bytes(50) + packed[half + 50 :]


def zstd(content: bytes) -> bytes:
    from backports import zstd as library

    return library.compress(content)


PACKED = {
    "gzip": gzip.compress(HTML),
    "x-gzip": gzip.compress(HTML),
    "deflate": zlib.compress(HTML),
    "br": brotli.compress(HTML),
    "zstd": zstd(HTML),
    "gzip, gzip": gzip.compress(gzip.compress(HTML)),
    "br, gzip": gzip.compress(brotli.compress(HTML)),
}


@pytest.mark.parametrize("coding", PACKED)
@pytest.mark.parametrize("in_chunks", [True, False])
def test_a_body_is_decoded_as_its_headers_say(coding: str, in_chunks: bool) -> None:
    headers = [("Content-Encoding", coding)]
    body = PACKED[coding]
    if in_chunks:
        headers, body = [*headers, ("transfer-encoding", "chunked")], chunked(body)

    assert decoded(body, headers, RAW_BYTES) == HTML


@pytest.mark.parametrize(
    "coding",
    [*PACKED, "identity", "none", "utf-8", "aws-chunked", "binary", "", "x-unknown", "gzip;q=1"],
)
@pytest.mark.parametrize("body", [HTML, IMAGE, b"\x89PNG\r\n\x1a\nrest", b"plain words", b"", b"a"])
def test_a_body_that_was_decoded_before_stays_as_it_is(coding: str, body: bytes) -> None:
    for headers in (
        [("Content-Encoding", coding)],
        [("Transfer-Encoding", "chunked"), ("Content-Encoding", coding)],
    ):
        assert decoded(body, headers, RAW_BYTES) == body


@pytest.mark.parametrize(
    "body",
    [gzip.compress(HTML), zstd(HTML), chunked(HTML), chunked(gzip.compress(HTML))],
    ids=["gzip", "zstd", "chunked", "both"],
)
def test_a_body_that_is_encoded_without_a_header_is_decoded(body: bytes) -> None:
    assert decoded(body, [("Content-Type", "text/html")], RAW_BYTES) == HTML


@pytest.mark.parametrize("body", [b"1\r\nno chunks at all", b"12\r\n", b"face\r\nto face\r\n"])
def test_a_text_that_begins_with_a_number_is_not_cut_into_chunks(body: bytes) -> None:
    assert decoded(body, [], RAW_BYTES) == body


def test_a_body_that_is_broken_says_so_and_a_cut_one_is_read_up_to_its_cut() -> None:
    packed = damaged(gzip.compress(HTML * 3000, compresslevel=1))

    with pytest.raises(ValueError, match="encoding is broken"):
        decoded(packed, [("Content-Encoding", "gzip")], RAW_BYTES)

    part = decoded(packed, [("Content-Encoding", "gzip")], RAW_BYTES, cut=True)
    assert 0 < len(part) < len(HTML * 3000)
    assert part.startswith(HTML * 100)


def test_chunks_that_are_broken_say_so() -> None:
    broken = chunked(HTML)[:-9] + b"oops\r\n"

    with pytest.raises(ValueError, match="no chunk at byte"):
        decoded(broken, [("Transfer-Encoding", "chunked")], RAW_BYTES)


@pytest.mark.slow
@pytest.mark.parametrize("coding", ["gzip", "zstd", "br"])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_bomb_takes_no_more_memory_than_the_limit(coding: str, layers: int) -> None:
    pack: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "zstd": zstd,
        "br": partial(brotli.compress, quality=5),
    }
    bomb = bytes(200 * 1024 * 1024)
    for _ in range(layers):
        bomb = pack[coding](bomb)
    headers = [("Content-Encoding", ", ".join([coding] * layers))]

    found, peak = peak_of(lambda: decoded(bomb, headers, 1_000_000))

    assert len(found) == 1_000_000
    assert peak < 16 * 1024 * 1024


def test_a_packed_image_and_a_packed_page_become_a_pair(tmp_path: Path) -> None:
    path = tmp_path / "crawl.warc.gz"
    packed = "application/octet-stream\r\nContent-Encoding: gzip"
    image = b"\xff\xd8\xff\xe0" + IMAGE
    path.write_bytes(
        gzip.compress(warc_record("http://a.example/", "text/html", gzip.compress(HTML)))
        + gzip.compress(warc_record("http://cdn.example/1.jpg", packed, gzip.compress(image)))
    )

    (pair,) = [found.item for found in open_source(str(path)).read()]

    assert isinstance(pair, RawPair)
    assert pair.image.inline == image


def test_a_broken_page_is_one_error_and_the_next_is_read(tmp_path: Path) -> None:
    broken = damaged(gzip.compress(HTML * 3000, compresslevel=1))
    path = tmp_path / "crawl.warc"
    first = warc_record("http://a.example/", "text/html\r\nContent-Encoding: gzip", broken)
    path.write_bytes(first + warc_record("http://b.example/", "text/html", HTML))

    error, pair = [found.item for found in open_source(str(path)).read()]

    assert isinstance(error, Unreadable)
    assert error.place == "crawl.warc:http://a.example/"
    assert "at byte 0" in error.error
    assert isinstance(pair, RawPair)
