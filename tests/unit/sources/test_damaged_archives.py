"""What is wrong in an archive costs only itself, and takes little memory."""

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from kaption.producers.sources import SourceError, Unreadable, open_source
from support.archive_forms import (
    FORMS,
    MIB,
    TEXTS,
    items,
    site,
    texts,
    write,
)
from support.memory import peak_of
from support.source_inputs import IMAGE, warc_record

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("form", ["plain", "gzip", "zstd", "dictionary"])
@pytest.mark.parametrize("where", [0, 0.3, 0.6, 0.9])
def test_a_damaged_record_is_one_error_and_the_others_go_on(
    tmp_path: Path, form: str, where: float
) -> None:
    # Given a record in the middle, damaged at its beginning, middle or end
    path = write(tmp_path, form, site())
    starts = [json.loads(found.cursor)[1] for found in open_source(str(path)).read()]
    content = bytearray(path.read_bytes())
    begin, end = starts[2], starts[3]
    at = begin + int((end - begin) * where)
    if form == "plain":
        content[begin : begin + 8] = b"\0" * 8
    else:
        content[at : at + 4] = bytes(each ^ 0xFF for each in content[at : at + 4])
    path.write_bytes(content)
    # When it is read
    found = items(path)
    # Then the others are there, and one error names file and offset
    assert texts(found) == [text for text in TEXTS if text != "three"]
    (error,) = [each for each in found if isinstance(each, Unreadable)]
    start = int(error.place.removeprefix(f"{path.name}:"))
    assert starts[1] <= start <= begin
    assert f"bytes {start} to {end}" in error.error
    assert error.raw == bytes(content[start:end])


@pytest.mark.parametrize("form", ["plain", "gzip", "gzip as a whole", "zstd"])
def test_a_file_that_was_cut_off_says_so_at_its_end(tmp_path: Path, form: str) -> None:
    path = write(tmp_path, form, site()[:5])
    content = path.read_bytes()
    path.write_bytes(content[: -len(content) // 12])

    found = items(path)

    assert TEXTS[: len(texts(found))] == texts(found) != []
    assert isinstance(found[-1], Unreadable)
    assert [type(each) for each in found].count(Unreadable) == 1


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("left", [0.3, 0.7, 0.95])
def test_a_wacz_that_was_cut_off_gives_what_is_left_and_says_so(
    tmp_path: Path, how: int, left: float, *, streamed: bool
) -> None:
    # Given a WACZ without its end, also as a program writes it that cannot seek
    file = io.BytesIO()
    out = Unseekable(file) if streamed else file
    with zipfile.ZipFile(out, "w", how) as members:
        members.writestr("archive/1.warc", b"".join(site()[:5]))
        members.writestr("archive/2.warc.gz", b"".join(map(gzip.compress, site()[5:])))
        members.writestr("pages/pages.jsonl", bytes(100))
    (tmp_path / "a.wacz").write_bytes(file.getvalue()[: int(left * len(file.getvalue()))])
    # When it is read
    found = items(tmp_path / "a.wacz")
    # Then
    assert texts(found) == TEXTS[: len(texts(found))]
    assert len(texts(found)) >= (5 if left > 0.5 else 1)
    assert [type(each) for each in found].count(Unreadable) == 1
    assert isinstance(found[-1], Unreadable)


class Unseekable(io.RawIOBase):
    """A stream that can only be written to."""

    def __init__(self, file: io.BytesIO) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, content: Any, /) -> int:
        return self._file.write(content)


@pytest.mark.parametrize("form", ["plain", "gzip"])
def test_garbage_between_records_is_one_error(tmp_path: Path, form: str) -> None:
    records = [FORMS[form][1]([each]) for each in site()]
    path = tmp_path / FORMS[form][0]
    path.write_bytes(b"".join([*records[:2], b"garbage" * 1000, *records[2:], b"\0" * 3000]))

    found = items(path)

    assert texts(found) == TEXTS
    errors = [each.error for each in found if isinstance(each, Unreadable)]
    assert len(errors) == 2
    assert errors[0].startswith("bytes ")


@pytest.mark.parametrize(
    ("form", "mark"),
    [
        ("gzip", b"\x1f\x8b\x08"),
        ("gzip", b"\x1f\x8b\x08\x1f\0\0\0\0\0\0\xff\xff"),
        ("plain", b"WARC/"),
        ("plain", b"WARC/1.0\r\nA:"),
        ("zstd", b"\x28\xb5\x2f\xfd"),
    ],
)
def test_a_flood_of_broken_beginnings_is_one_error_and_takes_no_time(
    tmp_path: Path, form: str, mark: bytes
) -> None:
    first, *rest = [FORMS[form][1]([each]) for each in site()]
    path = tmp_path / FORMS[form][0]
    path.write_bytes(b"".join([first, mark * 20_000, bytes(3_000_000), *rest]))

    found = items(path)

    assert [texts(found)[0], texts(found)[-1]] == [TEXTS[0], TEXTS[-1]]
    assert [type(each) for each in found].count(Unreadable) == 1


def test_reading_goes_on_behind_damage(tmp_path: Path) -> None:
    records = [gzip.compress(each) for each in site()]
    path = tmp_path / "a.warc.gz"
    path.write_bytes(b"".join([records[0], b"garbage" * 1000, *records[1:]]))
    found = list(open_source(str(path)).read())

    for number, each in enumerate(found, start=1):
        assert items(path, each.cursor) == [later.item for later in found[number:]]


def test_a_broken_file_in_a_folder_is_one_error_and_the_others_go_on(tmp_path: Path) -> None:
    write(tmp_path, "gzip", site(["one"]), name="1.warc.gz")
    (tmp_path / "2.warc.gz").write_bytes(b"no archive")
    (tmp_path / "3.wacz").write_bytes(b"PK\x03\x04 no zip")
    (tmp_path / "4.warc.gz").write_bytes(b"")
    write(tmp_path, "dictionary", site(["two"]), name="5.WARC.ZST")
    found = list(open_source(str(tmp_path)).read())

    assert texts([each.item for each in found]) == ["one", "two"]
    errors = [each.item.place for each in found if isinstance(each.item, Unreadable)]
    assert errors == ["2.warc.gz", "3.wacz"]
    for number, each in enumerate(found, start=1):
        assert items(tmp_path, each.cursor) == [later.item for later in found[number:]]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.wacz", b"PK\x03\x04 no zip", "damaged or no WACZ"),
        ("a.wacz", b"no zip at all", "no WARC"),
        ("a.warc.zst", b"\x5d\x2a\x4d\x18\xff\xff\xff\xff", "dictionary"),
        ("a.warc.zst", b"\x28\xb5\x2f\xfd broken", "damaged or no WARC"),
        ("a.warc", b"%PDF-1.7 ...", "damaged or no WARC"),
    ],
)
def test_what_is_no_archive_is_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(SourceError, match=why) as raised:
        items(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_a_zip_without_archives_and_an_encrypted_one_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.wacz", "w") as out:
        out.writestr("readme.txt", b"nothing")
    with zipfile.ZipFile(tmp_path / "b.wacz", "w") as out:
        out.writestr("archive/a.warc", b"".join(site()))
    content = bytearray((tmp_path / "b.wacz").read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "b.wacz").write_bytes(content)

    with pytest.raises(SourceError, match="without WARC files"):
        items(tmp_path / "a.wacz")
    with pytest.raises(SourceError, match="encrypted"):
        items(tmp_path / "b.wacz")


HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"WARC/1.1\r\n", b"WARC/1.0\n"),
        (b"WARC/1.1", b"WARC/0.18"),
        (b"WARC-Type", b"warc-type"),
        (b"Content-Length", b"content-length"),
        (b"Content-Length: ", b"CONTENT-LENGTH:\t"),
        (b"Content-Type: application", b"content-type: Application"),
        (b"WARC-Date: 2026-01-02T03:04:05Z\r\n", b""),
        (b"2026-01-02T03:04:05Z", b"yesterday"),
        (b"Content-Type: application/http; msgtype=response\r\n", b""),
        (HTTP, HTTP.replace(b"\r\n", b"\n") + b" " * 3),
        (HTTP, HTTP.replace(b"1.1 200 OK", b"2 200     ")),
        (HTTP, HTTP.replace(b"text/html", b"text/html\r\nBroken\r\n: x")),
        (b"\r\n\r\nWARC", b"\r\nWARC"),
        (b"\r\n\r\nWARC", b"\r\n\r\n\r\n\r\nWARC"),
    ],
)
def test_records_of_careless_writers_are_read(tmp_path: Path, old: bytes, new: bytes) -> None:
    content = b"".join(site())
    assert old in content
    if old == HTTP:  # the length of the record changes with its content
        first = content.index(b"Content-Length: ") + len(b"Content-Length: ")
        length = content[first : content.index(b"\r\n", first)]
        longer = b"%d" % (int(length) + len(new) - len(old))
        content = content.replace(b"Content-Length: " + length, b"Content-Length: " + longer, 1)
        content = content.replace(old, new, 1)
    path = tmp_path / "a.warc"
    path.write_bytes(content.replace(old, new) if old != HTTP else content)

    assert texts(items(path)) == TEXTS


@pytest.mark.parametrize("digits", [b"9", b"-", b"x", b"99999999999999999999"])
@pytest.mark.parametrize("form", ["plain", "gzip"])
def test_a_wrong_length_costs_one_record(tmp_path: Path, digits: bytes, form: str) -> None:
    records = site()
    records[2] = records[2].replace(b"Content-Length: ", b"Content-Length: " + digits)

    found = items(write(tmp_path, form, records))

    assert texts(found) == [text for text in TEXTS if text != "three"]
    assert [type(each) for each in found].count(Unreadable) == 1


@pytest.mark.parametrize("media_type", ["text/html", "image/jpeg"])
def test_a_huge_record_takes_little_memory(tmp_path: Path, media_type: str) -> None:
    # Given a page or an image of 256 MB between others
    path = tmp_path / "a.warc.gz"
    with path.open("wb") as file:
        file.write(gzip.compress(site(["one"])[0]))
        head, _, tail = warc_record("http://cdn.example/one", media_type, b"<html>").partition(
            b"Content-Length: "
        )
        length, _, http = tail.removesuffix(b"\r\n\r\n").partition(b"\r\n")
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as out:
            out.write(head + b"Content-Length: %d\r\n" % (int(length) + 256 * MIB) + http)
            for _ in range(256):
                out.write(b" " * MIB)
            out.write(b"\r\n\r\n")
        file.write(gzip.compress(site(["two"])[0]))

    found, peak = peak_of(lambda: items(path))

    assert texts(found) == ["one", "two"]
    assert peak < 128 * MIB


def test_many_long_addresses_take_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.warc"
    long = "x" * 20_000
    images = [
        warc_record(f"http://cdn.example/{number}{long}", "image/jpeg", IMAGE)
        for number in range(4_000)
    ]
    path.write_bytes(b"".join([*images, site(["one"])[0]]))
    del images

    found, peak = peak_of(lambda: items(path))

    assert texts(found) == ["one"]
    assert path.stat().st_size > 80_000_000
    assert peak < 8 * MIB


@pytest.mark.parametrize("form", ["gzip as a whole", "zstd as a whole", "wacz, deflated"])
def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path: Path, form: str) -> None:
    bomb = warc_record("http://a.example/", "text/html", bytes(40 * MIB))
    path = write(tmp_path, form, [*site(), bomb, bomb])

    with pytest.raises(SourceError, match="grows more than 100 times"):
        items(path)
