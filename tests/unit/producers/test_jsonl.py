"""Each line of a JSONL file becomes a pair, or an Unreadable with its bytes and the reason."""

import json
import os
import tracemalloc
from pathlib import Path

import pytest

from kaption.producers.identity import pair_id
from kaption.producers.image import BLOB_IMAGE_BYTES, stored_source
from kaption.producers.sources import Item, Large, SourceError, Unreadable
from kaption.producers.sources.jsonl import Jsonl
from kaption.schemas import BlobRef, ImageSource, RawPair
from kaption.schemas.limits import INLINE_IMAGE_BYTES, RAW_BYTES

pytestmark = pytest.mark.slow

URL = "https://cdn.example/7.jpg"


def read(path: Path) -> list[Item]:
    return [found.item for found in Jsonl(str(path)).read()]


def lines(folder: Path, *found: object) -> list[Item]:
    path = folder / "pairs.jsonl"
    raw = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in found]
    path.write_bytes(b"\n".join(raw))
    return read(path)


def unreadable(folder: Path, *found: object) -> Unreadable:
    (line,) = lines(folder, *found)
    assert isinstance(line, Unreadable)
    return line


def test_fields_are_those_of_a_raw_pair(tmp_path: Path) -> None:
    fields = {"pair_id": "a", "text": "ein Krug ☕", "image": {"url": URL}, "status": 200}

    assert lines(tmp_path, fields) == [
        RawPair(pair_id="a", text="ein Krug ☕", image=ImageSource(url=URL), extra={"status": 200})
    ]


def test_an_image_may_be_a_url(tmp_path: Path) -> None:
    (pair,) = lines(tmp_path, {"pair_id": "a", "text": "t", "image": URL})

    assert isinstance(pair, RawPair)
    assert pair.image == ImageSource(url=URL)


def test_an_image_may_be_a_file_beside_the_lines(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a b.jpg").write_bytes(b"\xff\xd8bytes")

    (pair,) = lines(tmp_path, {"pair_id": "a", "text": "t", "image": "images/a b.jpg"})

    assert isinstance(pair, RawPair)
    assert pair.image == ImageSource(inline=b"\xff\xd8bytes")


@pytest.mark.parametrize("given", [{}, {"pair_id": None}])
def test_a_missing_identity_is_derived(tmp_path: Path, given: dict[str, None]) -> None:
    fields = {"text": "t", "image": URL, "page_url": "https://shop.example", "source": "shop"}

    (pair,) = lines(tmp_path, fields | given)

    assert isinstance(pair, RawPair)
    assert pair.pair_id == pair_id("shop", "https://shop.example", ImageSource(url=URL))


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"{", "not JSON: EOF"),
        (b"[1]", "not a JSON object"),
        (b"[" * 100_000, "not JSON: recursion"),
        ({"text": "t"}, "image: Field required"),
        ({"image": URL}, "text: Field required"),
        ({"text": "t", "image": {}}, "give exactly one of url, inline, blob"),
        ({"text": "t", "image": 7}, "image: "),
        ({"text": "t", "image": "https://" + "x" * 9_000}, "url: String should have at most"),
        ({"text": "t", "image": "cat.jpg"}, "image file 'cat.jpg' in "),
        ({"text": "t", "image": "."}, "image file '.' is not a regular file"),
        ({"text": "t", "image": "cat\0.jpg"}, "is not the name of a file"),
        ({"text": "t", "image": "x" * 5_000}, "File name too long"),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_an_invalid_line_keeps_its_bytes_and_the_reason(
    tmp_path: Path, line: object, error: str
) -> None:
    found = unreadable(tmp_path, line)

    assert error in found.error
    assert found.raw == (line if isinstance(line, bytes) else json.dumps(line).encode())


def test_a_large_image_goes_to_the_store_or_says_what_to_do(tmp_path: Path) -> None:
    with (tmp_path / "large.tif").open("wb") as file:
        file.truncate(INLINE_IMAGE_BYTES + 1)
    line = {"text": "t", "image": "large.tif"}

    (found,) = lines(tmp_path, line)

    assert isinstance(found, Large)
    assert found.pair.image == stored_source(found.content)
    assert len(found.content) == INLINE_IMAGE_BYTES + 1
    assert json.loads(found.otherwise.raw) == line
    assert found.otherwise.error == (
        "its image has 4194305 bytes, an inline image at most 4194304: "
        "set store.url to the store that the workers have, or make it smaller"
    )


def test_an_invalid_pair_with_a_large_image_is_unreadable(tmp_path: Path) -> None:
    with (tmp_path / "large.tif").open("wb") as file:
        file.truncate(INLINE_IMAGE_BYTES + 1)

    assert "text: Field required" in unreadable(tmp_path, {"image": "large.tif"}).error


def test_an_image_too_large_for_the_store_says_what_to_do(tmp_path: Path) -> None:
    with (tmp_path / "huge.tif").open("wb") as file:
        file.truncate(BLOB_IMAGE_BYTES + 1)

    found = unreadable(tmp_path, {"text": "t", "image": "huge.tif"})

    assert found.error == (
        "image file 'huge.tif' has 268435457 bytes, an image at most 268435456: "
        "give its URL, or a smaller one"
    )


def test_a_pipe_as_an_image_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")

    assert "not a regular file" in unreadable(tmp_path, {"text": "t", "image": "pipe.jpg"}).error


def test_line_numbers_count_empty_lines_which_are_skipped(tmp_path: Path) -> None:
    good = {"pair_id": "a", "text": "t", "image": URL}

    found = lines(tmp_path, good, b"", b"  \r", good, b"oops\r", good, b"")

    assert [type(each) for each in found] == [RawPair, RawPair, Unreadable, RawPair]
    bad = found[2]
    assert isinstance(bad, Unreadable)
    assert (bad.place, bad.raw) == ("pairs.jsonl:5", b"oops")
    assert bad.headers[0] == ("kaption-source-place", b"pairs.jsonl:5")
    assert bad.headers[1][0] == "kaption-source-error"
    assert bad.headers[1][1].startswith(b"not JSON")


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    line = json.dumps({"pair_id": "a", "text": "t", "image": URL}).encode()

    (pair,) = lines(tmp_path, b"\xef\xbb\xbf" + line)

    assert isinstance(pair, RawPair)


def padded(length: int) -> bytes:
    start, end = b'{"pair_id":"a","text":"t","image":{"url":"u"},"x":"', b'"}'
    return start + b"x" * (length - len(start) - len(end)) + end


@pytest.mark.parametrize("break_", [b"\n", b"\r\n"])
def test_a_line_above_the_limit_is_cut_and_the_next_one_read(tmp_path: Path, break_: bytes) -> None:
    good = b'{"pair_id":"b","text":"t","image":{"url":"u"}}'
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(break_.join([padded(RAW_BYTES), padded(RAW_BYTES + 1), good]))

    whole, cut, after = read(path)

    assert isinstance(whole, RawPair)
    assert (whole.extra, whole.not_understood) == ({}, ("extra",))
    assert isinstance(cut, Unreadable)
    assert cut.error.startswith(f"the line has {RAW_BYTES + 1} bytes")
    assert cut.raw == padded(RAW_BYTES + 1)[:RAW_BYTES]
    assert isinstance(after, RawPair)
    assert after.pair_id == "b"


def test_memory_is_bounded_by_a_line_not_by_the_file(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    with path.open("wb") as file:
        file.write(padded(5000) + b"\n")
        file.truncate(200 * 1024 * 1024)  # then one line of zero bytes, 200 MiB
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + padded(1000) + b"\n")

    tracemalloc.start()
    found = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert [type(each) for each in found] == [RawPair, Unreadable, RawPair]
    assert peak < 4 * RAW_BYTES


def test_lines_appended_later_are_read_from_the_cursor(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(padded(100))
    (first,) = Jsonl(str(path)).read()
    path.write_bytes(padded(100) + b"\n" + padded(200))

    (second,) = Jsonl(str(path)).read(first.cursor)

    assert isinstance(second.item, RawPair)
    assert len(second.item.extra["x"]) > 100


def test_a_cursor_into_a_file_that_was_rewritten_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(padded(100) + b"\n" + padded(100))
    first, _ = Jsonl(str(path)).read()

    for changed in (padded(50) + b"\n" + padded(200), padded(90)):
        path.write_bytes(changed)
        with pytest.raises(SourceError, match="has changed since"):
            list(Jsonl(str(path)).read(first.cursor))


class TestPairId:
    INLINE = ImageSource(inline=b"bytes")

    def test_is_the_same_for_bytes_inline_and_in_the_blob_store(self) -> None:
        sha256 = "277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9"
        stored = ImageSource(blob=BlobRef(sha256=sha256, bytes=5, media_type="image/png"))

        assert pair_id("s", "p", self.INLINE) == pair_id("s", "p", stored)

    def test_never_changes(self) -> None:
        assert pair_id("s", "p", ImageSource(url=URL)) == "e58dafb6835a05c2792aeba6b242c3e8"

    def test_tells_sources_pages_and_images_apart(self) -> None:
        ids = {
            pair_id(source, page, image)
            for source in (None, "s", "sp")
            for page in (None, "p", "sp")
            for image in (self.INLINE, ImageSource(inline=b"other"), ImageSource(url=URL))
        }

        assert len(ids) == 27


@pytest.mark.parametrize(
    ("address", "caption"),
    [
        ("imageUrl", "altText"),
        ("Image URL", "Alt Text"),
        ("image-url", "alt-text"),
        ("imgURL", "Caption"),
        ("IMG_URL", "TXT"),
        (" url ", "Alt.Text"),
    ],
)
def test_common_names_are_found_in_each_spelling(
    tmp_path: Path, address: str, caption: str
) -> None:
    (pair,) = lines(tmp_path, {address: URL, caption: "a mug"})

    assert isinstance(pair, RawPair)
    assert (pair.text, pair.image.url, pair.extra) == ("a mug", URL, {})


@pytest.mark.parametrize(
    "image",
    [
        [URL],
        [{"url": URL}],
        {"src": URL, "width": 5},
        {"contentUrl": URL},
        {"bytes": None, "path": URL},
        {"url": None, "href": URL},
    ],
)
def test_an_image_may_be_named_as_pages_and_datasets_do(tmp_path: Path, image: object) -> None:
    (pair,) = lines(tmp_path, {"text": "a mug", "image": image})

    assert isinstance(pair, RawPair)
    assert pair.image.url == URL


@pytest.mark.parametrize(
    "image", [[URL, URL], [[URL]], {"path": "/etc/hostname"}, {"src": "file:///etc/hostname"}, []]
)
def test_several_images_and_files_in_an_object_are_none(tmp_path: Path, image: object) -> None:
    assert "image" in unreadable(tmp_path, {"text": "a mug", "image": image}).error


def test_a_tab_in_a_text_need_not_be_escaped(tmp_path: Path) -> None:
    (pair,) = lines(tmp_path, b'{"text": "a\tmug", "image": "%s"}' % URL.encode())

    assert isinstance(pair, RawPair)
    assert pair.text == "a\tmug"
