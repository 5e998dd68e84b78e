"""A source whose first records all lack an image or a text is refused before it gives any."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kaption.producers.sources import Item, SourceError, Unreadable, open_source
from kaption.schemas import ImageSource, RawPair
from support.source_inputs import write_tar

JPEG = b"\xff\xd8bytes"
URL = "https://cdn.example/7.jpg"
FORMS = ["pairs.jsonl", "pairs.json", "nested.json", "pairs.csv", "pairs.tsv", "pairs.parquet"]


def written(folder: Path, name: str, images: list[object]) -> Path:
    path = folder / name
    rows = [{"image": image, "caption": f"a mug {at}"} for at, image in enumerate(images)]
    tab = "\t" if name.endswith(".tsv") else ","
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif name.endswith((".csv", ".tsv")):
        lines = [tab.join(("image", "caption")), *(tab.join(map(str, r.values())) for r in rows)]
        path.write_text("\n".join(lines) + "\n")
    elif name.endswith(".jsonl"):
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        path.write_text(json.dumps({"data": rows} if name == "nested.json" else rows))
    return path


def items(path: Path, **options: str) -> list[Item]:
    return [found.item for found in open_source(str(path), None, options).read()]


def unreadable(found: list[Item]) -> list[int]:
    return [at for at, item in enumerate(found) if isinstance(item, Unreadable)]


@pytest.mark.parametrize("count", [2, 30, 1_200])
@pytest.mark.parametrize("name", FORMS)
def test_images_that_are_all_missing_stop_with_the_folder_and_the_option(
    tmp_path: Path, name: str, count: int
) -> None:
    # Given records that name files of another folder
    path = written(tmp_path, name, [f"photos/{at}.jpg" for at in range(count)])
    # When the first record is asked for, then none is given
    with pytest.raises(SourceError, match="image_folder=FOLDER") as raised:
        next(open_source(str(path), None, {"image_folder": str(tmp_path)}).read())
    # And the error names the file, the folder that was searched and how many were looked at
    assert f"image file 'photos/0.jpg' in {tmp_path}: No such file" in str(raised.value)
    assert f"none of the first {min(count, 1_000)} records" in str(raised.value)


@pytest.mark.parametrize("name", FORMS)
def test_images_are_read_below_the_folder_that_is_named(tmp_path: Path, name: str) -> None:
    # Given images in a folder beside the one of the records
    (tmp_path / "lists").mkdir()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(JPEG)
    path = written(tmp_path / "lists", name, ["a.jpg", "../lists/pairs.csv"])
    # When the folder is named
    first, second = items(path, image_folder=str(tmp_path / "photos"))
    # Then files below it are read, and no others
    assert isinstance(first, RawPair)
    assert first.image == ImageSource(inline=JPEG)
    assert isinstance(second, Unreadable)


@pytest.mark.parametrize("name", FORMS)
def test_some_missing_images_stop_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "there.jpg").write_bytes(JPEG)
    images = [f"{at}.jpg" for at in range(40)]
    path = written(tmp_path, name, [*images, "there.jpg", "none.jpg"])

    found = items(path, image_folder=str(tmp_path))

    assert unreadable(found) == [*range(40), 41]


@pytest.mark.parametrize("image", ["photos/a.jpg", "/srv/a.jpg", "C:\\a.jpg", "a.jpg", "17"])
def test_a_table_that_names_files_is_refused_with_what_to_do(tmp_path: Path, image: str) -> None:
    with pytest.raises(SourceError, match=r"is not a URL; .*image_folder=FOLDER"):
        items(written(tmp_path, "pairs.csv", [image, image]))


def test_a_table_with_one_address_among_its_first_rows_is_read(tmp_path: Path) -> None:
    assert len(items(written(tmp_path, "pairs.csv", [*["a.jpg"] * 19, URL]))) == 20


@pytest.mark.parametrize(
    "image", ["s3://bucket/a.jpg", "file:///a.jpg", "/etc/hostname", "", None, 7, {"path": "a"}]
)
def test_values_that_are_no_images_stop_json_lines(tmp_path: Path, image: object) -> None:
    with pytest.raises(SourceError, match="none of the first 25 records"):
        items(written(tmp_path, "pairs.jsonl", [image] * 25))


def test_a_single_record_without_its_image_is_a_dead_letter(tmp_path: Path) -> None:
    assert unreadable(items(written(tmp_path, "pairs.jsonl", ["none.jpg"]))) == [0]


def test_damaged_lines_do_not_count(tmp_path: Path) -> None:
    path = written(tmp_path, "pairs.jsonl", ["none.jpg"])
    path.write_text("{no json}\n" * 30 + path.read_text())

    assert unreadable(items(path)) == list(range(31))


@pytest.mark.parametrize("line", ["https://cdn.example/7.jpg,a mug", '["u", "a mug"]', '"a mug"'])
def test_a_file_of_something_else_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(f"{line}\n" * 20)
    with pytest.raises(SourceError, match=r"pairs\.jsonl:1: not .*--format"):
        items(path)
    path.write_text(f"{line}\n" * 19)
    assert unreadable(items(path)) == list(range(19))


def test_a_continued_source_is_not_refused(tmp_path: Path) -> None:
    (tmp_path / "there.jpg").write_bytes(JPEG)
    path = written(tmp_path, "pairs.jsonl", ["there.jpg", "a.jpg", "b.jpg"])
    first, *_ = open_source(str(path)).read()

    rest = [found.item for found in open_source(str(path)).read(first.cursor)]

    assert unreadable(rest) == [0, 1]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, "pairs.jsonl", [URL])
    with pytest.raises(SourceError, match="image_folder=photoz: there is no such folder"):
        items(path, image_folder="photoz")


@pytest.mark.parametrize("kept", ["store", "gone"])
def test_a_folder_of_links_to_other_folders_is_refused(tmp_path: Path, kept: str) -> None:
    # Given images that are links, as git-annex and DVC make them, to files elsewhere or nowhere
    (tmp_path / "store").mkdir()
    (tmp_path / "photos").mkdir()
    for number in range(3):
        (tmp_path / "store" / f"{number}").write_bytes(JPEG)
        (tmp_path / "photos" / f"{number}.jpg").symlink_to(tmp_path / kept / f"{number}")
    # Then none is read, and with one file among them the others are dead letters
    with pytest.raises(SourceError, match="copy the files in place of the links"):
        items(tmp_path / "photos")
    (tmp_path / "photos" / "9.jpg").write_bytes(JPEG)
    assert unreadable(items(tmp_path / "photos")) == [0, 1, 2]


def test_tars_without_any_image_are_refused(tmp_path: Path) -> None:
    shard = tmp_path / "one.tar"
    members = [(f"{n}.{end}", b"a mug") for n in range(30) for end in ("mp4", "txt")]
    write_tar(shard, members)

    with pytest.raises(SourceError, match=r"none of the first 20 records.*no image among mp4"):
        items(shard)
