"""ARC files, which came before WARC, are read like WARC files."""

import gzip
from pathlib import Path

import pytest

from kaption.producers.sources import Item, SourceError, Unreadable, open_source
from kaption.schemas import RawPair
from support.source_inputs import IMAGE, page

pytestmark = pytest.mark.slow

NAMES = ["one", "two", "three"]


def record(url: str, media_type: str, body: bytes) -> bytes:
    http = f"HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\n\r\n".encode() + body
    return f"{url} 192.0.2.1 20050102030405 {media_type} {len(http)}\n".encode() + http + b"\n"


def archive() -> list[bytes]:
    """Its description, pages, and behind them their images."""
    about = b"1 0 Crawler\nURL IP-address Archive-date Content-type Archive-length\n"
    head = f"filedesc://a.arc 0.0.0.0 20050101000000 text/plain {len(about)}\n".encode() + about
    pages = [
        record(
            f"http://shop.example/{each}", "text/html", page([f'<img src="{each}" alt="{each}">'])
        )
        for each in NAMES
    ]
    images = [
        record(f"http://cdn.example/{each}", "image/jpeg", IMAGE + each.encode()) for each in NAMES
    ]
    return [head + b"\n", *pages, *images]


def items(path: Path, content: bytes, after: str | None = None) -> list[Item]:
    path.write_bytes(content)
    return [each.item for each in open_source(str(path)).read(after)]


@pytest.mark.parametrize("form", ["a.arc", "a.arc.gz", "whole.arc.gz", "without-name"])
def test_pages_and_images_of_an_arc_are_paired(tmp_path: Path, form: str) -> None:
    packed = b"".join(map(gzip.compress, archive()))
    content = b"".join(archive()) if form in ("a.arc", "without-name") else packed
    content = gzip.compress(b"".join(archive())) if form == "whole.arc.gz" else content

    found = items(tmp_path / form, content)

    pairs = [each for each in found if isinstance(each, RawPair)]
    assert [each.text for each in pairs] == NAMES
    assert [each.image.inline for each in pairs] == [IMAGE + each.encode() for each in NAMES]
    first = next(open_source(str(tmp_path / form)).read())
    assert items(tmp_path / form, content, first.cursor) == found[1:]


def test_what_is_cut_off_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    *found, damage = items(tmp_path / "a.arc", b"".join(archive())[:-4])

    pairs = [each for each in found if isinstance(each, RawPair)]
    assert [each.text for each in pairs] == NAMES
    assert [each.image.inline is None for each in pairs] == [False, False, True]
    assert isinstance(damage, Unreadable)


def test_an_arc_of_another_kind_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        items(tmp_path / "freearc.arc", b"ArC\x01" + bytes(100))
