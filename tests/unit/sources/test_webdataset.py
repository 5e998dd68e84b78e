"""WebDataset shards are read from files, HTTP and S3; a damaged shard is an error."""

import io
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import webdataset

from kaption.objectstore import open_store
from kaption.producers.sources import Item, Source, SourceError, Unreadable, open_source
from kaption.schemas import RawPair
from kaption.schemas.limits import RAW_BYTES
from support.parts import S3Bucket
from support.source_inputs import IMAGE, TEXTS, shards, write_tar

pytestmark = pytest.mark.slow


def texts(source: Source, after: str | None = None) -> list[str]:
    return [
        found.item.text if isinstance(found.item, RawPair) else "?" for found in source.read(after)
    ]


def one(folder: Path, *members: tuple[str, bytes]) -> Item:
    write_tar(folder / "one.tar", members)
    (found,) = open_source(str(folder / "one.tar")).read()
    return found.item


def test_a_broken_json_beside_a_text_costs_nothing(tmp_path: Path) -> None:
    members = (("1.jpg", IMAGE), ("1.json", b'{"tags": "cat'), ("1.txt", b"a mug"))

    pair = one(tmp_path, *members)

    assert isinstance(pair, RawPair)
    assert (pair.text, pair.extra) == ("a mug", {"json": '{"tags": "cat'})


def test_samples_that_all_lack_a_text_are_refused_with_what_to_do(tmp_path: Path) -> None:
    # Given shards as for classification: an image and a number for each sample
    shard = tmp_path / "one.tar"
    members = [(f"{n}.{end}", IMAGE) for n in range(30) for end in ("jpg", "cls")]
    write_tar(shard, members)
    # When they are read, then no sample is given
    with pytest.raises(SourceError, match=r"none of the first 20 records of .* as \.txt or in a"):
        next(open_source(str(shard)).read())
    # And with one text among the first, all are
    write_tar(shard, [*members[:30], ("15.txt", b"a mug"), *members[30:]])
    found = [each.item for each in open_source(str(shard)).read()]
    assert len(found) == 30
    assert [each.text for each in found if isinstance(each, RawPair)] == ["a mug"]


class WithRanges(SimpleHTTPRequestHandler):
    """Answers ``Range: bytes=N-`` as object stores do."""

    def do_GET(self) -> None:
        content = Path(self.translate_path(self.path)).read_bytes()
        given = self.headers.get("Range")
        begin = int(given.removeprefix("bytes=").removesuffix("-")) if given else 0
        self.send_response(206 if given else 200)
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        self.wfile.write(content[begin:])


@pytest.fixture(params=[SimpleHTTPRequestHandler, WithRanges])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The URL and the path of a folder, from a server with range requests and from one without."""
    handler = partial(request.param, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", tmp_path
        server.shutdown()


def test_reading_over_http_goes_on_at_a_cursor(served: tuple[str, Path]) -> None:
    url, folder = served
    shards(folder)

    source = open_source(f"{url}/shards/{{00000..00001}}.tar")

    found = list(source.read())
    assert texts(source) == [*TEXTS[:3], "?", TEXTS[3]]
    for at, (_, cursor, _) in enumerate(found, start=1):
        assert list(source.read(cursor)) == found[at:]


@pytest.mark.parametrize("served", [SimpleHTTPRequestHandler], indirect=True)
def test_a_shard_that_is_not_served_is_an_error(served: tuple[str, Path]) -> None:
    with pytest.raises(SourceError, match="404"):
        list(open_source(f"{served[0]}/none.tar").read())


@pytest.mark.integration
def test_reading_from_s3_goes_on_at_a_cursor(s3: S3Bucket, tmp_path: Path) -> None:
    connection = s3.connection("crawl")
    shards(tmp_path)
    store = open_store(connection)
    for path in sorted((tmp_path / "shards").iterdir()):
        store.put(path.name, path)

    source = open_source(f"s3://{s3.name}/crawl/", store=connection)

    found = list(source.read())
    assert texts(source) == [*TEXTS[:3], "?", TEXTS[3]]
    for at, (_, cursor, _) in enumerate(found, start=1):
        assert list(source.read(cursor)) == found[at:]


def test_what_webdataset_writes_is_read(tmp_path: Path) -> None:
    with webdataset.TarWriter(str(tmp_path / "one.tar")) as writer:
        for number in range(2):
            writer.write(
                {
                    "__key__": f"crawl/{number}",
                    "jpg": IMAGE,
                    "txt": f"mug {number}",
                    "json": {"license": "CC0-1.0"},
                }
            )

    pairs = [found.item for found in open_source(str(tmp_path / "one.tar")).read()]

    assert [pair.text for pair in pairs if isinstance(pair, RawPair)] == ["mug 0", "mug 1"]
    assert [pair.licence for pair in pairs if isinstance(pair, RawPair)] == ["CC0-1.0", "CC0-1.0"]


def test_fields_come_from_all_members(tmp_path: Path) -> None:
    pair = one(
        tmp_path,
        ("a/1.PNG", IMAGE),
        ("a/1.json", b'{"caption": "b", "lang": "de", "width": 3, "image": "/etc/passwd"}'),
        ("a/1.txt", b"a \n"),
        ("a/1.cls", b"7"),
    )

    assert isinstance(pair, RawPair)
    assert (pair.text, pair.language) == ("a", "de")
    assert pair.image.inline == IMAGE
    assert pair.extra == {"width": 3}


def test_an_image_that_is_too_large_is_no_pair_and_its_bytes_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kaption.producers.sources.webdataset.BLOB_IMAGE_BYTES", RAW_BYTES + 1)

    found = one(tmp_path, ("1.jpg", bytes(RAW_BYTES + 2)), ("1.txt", b"a"))

    assert isinstance(found, Unreadable)
    assert f"1.jpg has {RAW_BYTES + 2} bytes" in found.error
    assert len(found.raw) == RAW_BYTES


def test_a_broken_side_file_is_no_pair(tmp_path: Path) -> None:
    found = one(tmp_path, ("1.jpg", IMAGE), ("1.json", b"{oops"))

    assert isinstance(found, Unreadable)
    assert (found.place, found.raw) == ("one.tar/1", b"{oops")


@pytest.mark.parametrize("format_", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_links_and_folders_are_read_as_tar_means_them(
    tmp_path: Path, format_: int
) -> None:
    name = "ö" * 150 + "/1"
    with tarfile.open(tmp_path / "long.tar", "w", format=format_) as tar:
        folder = tarfile.TarInfo("d")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        link = tarfile.TarInfo("1.txt")
        link.type = tarfile.SYMTYPE
        link.linkname = "/etc/passwd"
        tar.addfile(link)
        for ending, data in (("jpg", IMAGE), ("txt", b"a")):
            info = tarfile.TarInfo(f"{name}.{ending}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))

    assert texts(open_source(str(tmp_path / "long.tar"))) == ["a"]


@pytest.mark.parametrize("cut", [512, 1024, 1300, 2048])
def test_a_shard_that_is_cut_off_is_not_taken_for_a_whole_one(tmp_path: Path, cut: int) -> None:
    """Cut inside a header, between members, inside a member, and at the end mark."""
    path = tmp_path / "cut.tar"
    write_tar(path, [("1.jpg", IMAGE), ("1.txt", b"a"), ("2.jpg", IMAGE), ("2.txt", b"b")])
    whole = path.read_bytes()
    path.write_bytes(whole[: 2048 + cut])

    with pytest.raises(SourceError, match="is damaged: it ends"):
        list(open_source(str(path)).read())


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    path = tmp_path / "damaged.tar"
    write_tar(path, [("1.jpg", IMAGE), ("1.txt", b"a"), ("2.jpg", IMAGE), ("2.txt", b"b")])
    whole = bytearray(path.read_bytes())
    whole[2048 + 100] ^= 1
    path.write_bytes(whole)

    with pytest.raises(SourceError, match="no tar header at byte 2048"):
        list(open_source(str(path)).read())


def test_a_missing_shard_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    location = shards(tmp_path)
    found = list(open_source(location).read())
    (tmp_path / "shards" / "00001.tar").unlink()

    with pytest.raises(SourceError, match=r"no shard 00001\.tar any more"):
        list(open_source(location).read(found[-1].cursor))
