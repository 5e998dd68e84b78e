"""A folder of images with side files gives one pair for each image."""

from pathlib import Path

import pytest

from kaption.producers.sources import Item, SourceError, Unreadable, open_source
from kaption.schemas import RawPair
from support.source_inputs import IMAGE


def one(folder: Path, **files: bytes) -> Item:
    """Files by name, with __ for the dot."""
    images = folder / "pictures"
    images.mkdir()
    for name, data in files.items():
        (images / name.replace("__", ".")).write_bytes(data)
    (found,) = open_source(str(images)).read()
    return found.item


def test_side_files_give_the_fields(tmp_path: Path) -> None:
    pair = one(
        tmp_path,
        a__JPG=IMAGE,
        a__txt=b" a mug\n",
        a__json=b'{"caption": "b", "page_url": "https://shop.example", "image": "/etc/passwd"}',
    )

    assert isinstance(pair, RawPair)
    assert (pair.text, pair.page_url) == ("a mug", "https://shop.example")
    assert pair.image.inline == IMAGE
    assert pair.extra == {}


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({"a__jpg": IMAGE}, "text: Field required"),
        ({"a__jpg": IMAGE, "a__json": b"{oops"}, "its side file: "),
        ({"a__jpg": IMAGE, "a__json": b"[]"}, "its side file: a.json is not a JSON object"),
    ],
    ids=["alone", "json", "list"],
)
def test_an_image_without_a_valid_side_file_is_unreadable_with_a_reason(
    tmp_path: Path, files: dict[str, bytes], error: str
) -> None:
    found = one(tmp_path, **files)

    assert isinstance(found, Unreadable)
    assert found.place == "a.jpg"
    assert error in found.error


@pytest.mark.parametrize(
    ("beside", "said"),
    [
        ("c.txt", r"write the text of a\.jpg into a\.txt"),
        ("metadata.jsonl", r"give .*metadata\.jsonl, with -o image_column="),
    ],
)
def test_images_that_all_lack_a_text_are_refused_with_what_to_do(
    tmp_path: Path, beside: str, said: str
) -> None:
    # Given images, some of them deeper, and a file that describes none of them
    for name in ("a.jpg", "b.jpg", "deep/a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(IMAGE)
    (tmp_path / beside).write_text("{}")
    # When they are read, then nothing is published
    with pytest.raises(SourceError, match=f"none of the 3 images .* {said}"):
        list(open_source(str(tmp_path), "folder").read())
    # And with one text, an empty one, all are
    (tmp_path / "deep" / "a.txt").write_text("")
    assert len(list(open_source(str(tmp_path), "folder").read())) == 3


def test_a_link_that_leads_out_of_the_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    images = tmp_path / "pictures"
    images.mkdir()
    (images / "a.jpg").symlink_to(tmp_path / "secret")
    (images / "a.txt").write_bytes(b"a mug")
    (images / "b.jpg").write_bytes(IMAGE)
    (images / "b.txt").symlink_to(tmp_path / "secret")
    (images / "c.jpg").symlink_to("b.jpg")
    (images / "c.txt").write_bytes(b"a jug")

    first, second, third = (found.item for found in open_source(str(images)).read())

    assert isinstance(first, Unreadable)
    assert isinstance(second, Unreadable)
    assert "lies outside of" in first.error
    assert "lies outside of" in second.error
    assert isinstance(third, RawPair)
    assert third.image.inline == IMAGE


def test_a_broken_json_beside_a_text_costs_nothing(tmp_path: Path) -> None:
    pair = one(tmp_path, a__jpg=IMAGE, a__txt=b"a mug", a__json=b"{oops")

    assert isinstance(pair, RawPair)
    assert (pair.text, pair.extra) == ("a mug", {"json": "{oops"})
    assert pair.not_understood == ("extra",)
