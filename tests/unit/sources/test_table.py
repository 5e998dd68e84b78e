"""Tables become pairs: with the columns of img2dataset and LAION, and with other columns."""

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kaption.producers.sources import Item, SourceError, Unreadable, open_source
from kaption.schemas import ImageSource, RawPair

URL = "https://cdn.example/1.jpg"


def csv_items(folder: Path, text: str | bytes, **options: str) -> list[Item]:
    path = folder / "pairs.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [found.item for found in open_source(str(path), options=options).read()]


def parquet_items(folder: Path, *rows: dict[str, Any]) -> list[Item]:
    path = folder / "pairs.parquet"
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return [found.item for found in open_source(str(path)).read()]


def test_laion_columns_are_known(tmp_path: Path) -> None:
    row = {
        "SAMPLE_ID": 7,
        "URL": URL,
        "TEXT": "a mug",
        "HEIGHT": 300,
        "LICENSE": "?",
        "NSFW": None,
        "similarity": 0.31,
        "LANGUAGE": "en",
    }

    (pair,) = parquet_items(tmp_path, row)

    assert isinstance(pair, RawPair)
    assert (pair.image, pair.text) == (ImageSource(url=URL), "a mug")
    assert (pair.language, pair.licence) == ("en", None)
    assert pair.extra == {"SAMPLE_ID": 7, "HEIGHT": 300, "similarity": 0.31}


def test_a_language_that_is_no_tag_keeps_its_own_name(tmp_path: Path) -> None:
    (pair,) = parquet_items(tmp_path, {"url": URL, "caption": "a", "language": "nolang"})

    assert isinstance(pair, RawPair)
    assert pair.language is None
    assert pair.extra == {"language": "nolang"}
    assert pair.not_understood == ("language",)


def test_an_empty_text_is_kept(tmp_path: Path) -> None:
    (pair,) = csv_items(tmp_path, f"url,caption\n{URL},\n")

    assert isinstance(pair, RawPair)
    assert pair.text == ""


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (
            "photo,text",
            "no column for the image that is known: it has photo, text; .*image_column=",
        ),
        ("url,title", "no column for the text that is known: it has url, title; .*text_column="),
    ],
)
def test_without_a_known_column_the_error_names_the_option(
    tmp_path: Path, header: str, error: str
) -> None:
    with pytest.raises(SourceError, match=error):
        csv_items(tmp_path, f"{header}\n{URL},a\n")


def test_bytes_are_the_image(tmp_path: Path) -> None:
    plain = {"url": URL, "caption": "a", "jpg": b"\xff\xd8", "when": datetime.date(2026, 1, 2)}
    nested = {"image": {"bytes": b"\xff\xd8", "path": "1.jpg"}, "text": "a"}

    (one,) = parquet_items(tmp_path, plain)
    (two,) = parquet_items(tmp_path, nested)

    assert isinstance(one, RawPair)
    assert isinstance(two, RawPair)
    assert one.image == two.image == ImageSource(inline=b"\xff\xd8")
    assert one.extra == {"image_url": URL, "when": "2026-01-02"}


def test_an_image_without_bytes_is_its_url(tmp_path: Path) -> None:
    (pair,) = parquet_items(tmp_path, {"image": {"bytes": None, "path": URL}, "text": "a"})

    assert isinstance(pair, RawPair)
    assert pair.image == ImageSource(url=URL)


def test_other_bytes_are_left_out(tmp_path: Path) -> None:
    (pair,) = parquet_items(tmp_path, {"jpg": b"\xff\xd8", "hash": b"\0", "text": "a"})

    assert isinstance(pair, RawPair)
    assert (pair.image, pair.extra) == (ImageSource(inline=b"\xff\xd8"), {})


def test_a_path_in_a_table_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")

    (pair,) = csv_items(tmp_path, "image,text\nsecret.jpg,a\n")

    assert isinstance(pair, RawPair)
    assert pair.image == ImageSource(url="secret.jpg")


def test_other_columns_can_be_named(tmp_path: Path) -> None:
    (pair,) = csv_items(
        tmp_path,
        f"a mug;{URL};4.99\n",
        columns="title,photo,price",
        delimiter=";",
        image_column="photo",
        text_column="title",
        source="shop",
    )

    assert isinstance(pair, RawPair)
    assert (pair.text, pair.image, pair.source) == ("a mug", ImageSource(url=URL), "shop")
    assert pair.extra == {"price": "4.99"}


def test_quoted_line_breaks_belong_to_the_field(tmp_path: Path) -> None:
    first, second = csv_items(tmp_path, f'\ufeffurl,text\r\n{URL},"a\r\nb"\r\n{URL},c\r\n')

    assert isinstance(first, RawPair)
    assert isinstance(second, RawPair)
    assert (first.text, second.text) == ("a\r\nb", "c")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b'"open quote\n' + b"x" * 200_000, "not CSV: field larger"),
        (b'"a"b,c', "not CSV: "),
        (b"\xff\xfe,c", "not CSV: 'utf-8'"),
        (b"a,b,c", "the row has 3 fields, the header 2"),
    ],
    ids=["open_quote", "after_quote", "bytes", "fields"],
)
def test_a_damaged_row_costs_its_line_only(tmp_path: Path, line: bytes, error: str) -> None:
    row = f"{URL},a\n".encode()

    first, bad, *rest = csv_items(tmp_path, b"url,text\n" + row + line + b"\n" + row)

    assert isinstance(first, RawPair)
    assert isinstance(bad, Unreadable)
    assert bad.error.startswith(error)
    assert bad.raw.splitlines() == line.splitlines()[:1]
    assert isinstance(rest[-1], RawPair)


def test_a_file_that_is_no_parquet_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "pairs.parquet"
    path.write_bytes(b"no parquet")

    with pytest.raises(SourceError, match="Parquet"):
        list(open_source(str(path)).read())
