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
        ({"a__jpg": IMAGE, "a__json": b"{oops"}, "its side file: "),
        ({"a__jpg": IMAGE, "a__json": b"[]"}, "its side file: a.json is not a JSON object"),
    ],
    ids=["json", "list"],
)
def test_an_image_without_a_valid_side_file_is_unreadable_with_a_reason(
    tmp_path: Path, files: dict[str, bytes], error: str
) -> None:
    found = one(tmp_path, **files)

    assert isinstance(found, Unreadable)
    assert found.place == "a.jpg"
    assert error in found.error


def test_photographs_without_any_text_have_empty_ones(tmp_path: Path) -> None:
    # Given images, some of them deeper, and a text that is beside none of them
    for name in ("a.jpg", "b.jpg", "deep/a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(IMAGE)
    (tmp_path / "c.txt").write_text("a cat")
    # When they are read, also from the middle / Then each is a pair
    found = list(open_source(str(tmp_path), "folder").read())
    assert [each.item.text for each in found if isinstance(each.item, RawPair)] == ["", "", ""]
    (last,) = open_source(str(tmp_path), "folder").read(found[1].cursor)
    assert isinstance(last.item, RawPair)
    # And with a text beside one of them, those without are mistakes
    (tmp_path / "deep" / "a.txt").write_text("a cat")
    mixed = [each.item for each in open_source(str(tmp_path), "folder").read()]
    assert [isinstance(each, RawPair) for each in mixed] == [False, False, True]
    assert isinstance(mixed[0], Unreadable)
    assert "text: Field required" in mixed[0].error


def test_images_whose_texts_are_in_json_lines_are_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(IMAGE)
    (tmp_path / "metadata.jsonl").write_text("{}")
    with pytest.raises(SourceError, match=r"give .*metadata\.jsonl, with -o image_column="):
        list(open_source(str(tmp_path), "folder").read())


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
