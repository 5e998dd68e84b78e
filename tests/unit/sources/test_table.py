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


@pytest.mark.parametrize("nothing", ["NaN", "nan", "<NA>", "None", "null", "NULL", "\\N", "[]"])
def test_a_missing_value_may_be_written(tmp_path: Path, nothing: str) -> None:
    header = "url,caption,tags,fetched_at,licence,width"

    (pair,) = csv_items(tmp_path, f"{header}\n{URL}{f',{nothing}' * 5}\n")

    assert isinstance(pair, RawPair)
    assert (pair.text, pair.tags, pair.fetched_at, pair.licence) == ("", (), None, None)
    assert (pair.extra, pair.not_understood) == ({}, ())


def test_an_empty_text_is_kept(tmp_path: Path) -> None:
    (pair,) = csv_items(tmp_path, f"url,caption\n{URL},\n")

    assert isinstance(pair, RawPair)
    assert pair.text == ""


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (
            "photo,text",
            "no column with a known name for the image: it has photo, text; .*image_column=",
        ),
        (
            "url,title",
            "no column with a known name for the text: it has url, title; .*text_column=",
        ),
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


@pytest.mark.parametrize("named", ["title", "Title", "TITLE", "text"])
def test_the_named_column_is_found_in_any_spelling_and_no_other_is_taken(
    tmp_path: Path, named: str
) -> None:
    other = "title" if named == "text" else "text"

    (pair,) = csv_items(
        tmp_path, f"url,{named.lower()},{other}\n{URL},mine,other\n", text_column=named
    )

    assert isinstance(pair, RawPair)
    assert pair.text == "mine"
    with pytest.raises(SourceError, match="known name for the text"):
        csv_items(tmp_path, f"url,caption\n{URL},a\n", text_column=named)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "idna", "punycode"])
def test_an_encoding_that_fails_on_the_file_is_told(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(SourceError, match="-o encoding"):
        csv_items(tmp_path, f"url,caption\n{URL},\\x\u00e9\\N{{x\n", encoding=encoding)


def test_quoted_line_breaks_belong_to_the_field(tmp_path: Path) -> None:
    first, second = csv_items(tmp_path, f'\ufeffurl,text\r\n{URL},"a\r\nb"\r\n{URL},c\r\n')

    assert isinstance(first, RawPair)
    assert isinstance(second, RawPair)
    assert (first.text, second.text) == ("a\r\nb", "c")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b'"open quote\n' + b"x" * 200_000, "the quote on line 3 is not closed (field larger"),
        (b'"a"b,c', "line 3 is not CSV: "),
        (b"\xff\xfe,c", "line 3 is not CSV: 'utf-8'"),
        (b"a,b,c", "line 3 has 3 values, the header 2; ',' separates them"),
        (b"a", "line 3 has 1 values, the header 2; ',' separates them"),
    ],
    ids=["open_quote", "after_quote", "bytes", "many", "few"],
)
def test_a_damaged_row_costs_its_line_only(tmp_path: Path, line: bytes, error: str) -> None:
    row = f"{URL},ä\n".encode()

    first, bad, *rest = csv_items(tmp_path, b"url,text\n" + row + line + b"\n" + row)

    assert isinstance(first, RawPair)
    assert isinstance(bad, Unreadable)
    assert bad.error.startswith(error)
    assert bad.raw.splitlines() == line.splitlines()[:1]
    assert isinstance(rest[-1], RawPair)


def test_a_bad_row_is_told_by_its_line_however_many_lines_the_rows_before_it_have(
    tmp_path: Path,
) -> None:
    # Given blank lines, values of several lines, a wrong row, and a quote that is never closed
    content = f'url,text\n\n{URL},"a\nb\nc"\n{URL},d,e\n{URL},"f\ng","h\n{URL},i\n'
    path = tmp_path / "pairs.csv"
    path.write_text(content)
    found = list(open_source(str(path)).read())
    # Then each names the line on which it begins
    wrong, unclosed, *_ = [each.item for each in found if isinstance(each.item, Unreadable)]
    assert wrong.error == "line 6 has 3 values, the header 2; ',' separates them"
    assert unclosed.error.startswith("the quote on line 8 is not closed")
    # And the same when reading goes on behind the first pair
    again = [each.item for each in open_source(str(path)).read(found[0].cursor)]
    assert again[0] == wrong
    # And tabs are named
    (tmp_path / "pairs.tsv").write_text(f"url\ttext\n{URL}\ta\tb\n")
    (bad,) = open_source(str(tmp_path / "pairs.tsv")).read()
    assert isinstance(bad.item, Unreadable)
    assert bad.item.error == "line 2 has 3 values, the header 2; a tab separates them"


@pytest.mark.parametrize(
    ("header", "rows", "bad"),
    [
        ("url,text", ['{0},"24 inch', "{1},b", '{2},a TV of 24"', "{3},d"], 1),
        ("url,text", ['{0},"red, old', '{1},TV 24"', "{2},c"], 1),
        ("text,url", ['"a vase,{0}', "b,{1}", 'TV 24",{2}', "d,{3}"], 1),
        ("text,url", ['"a vase,{0}', '"b, c",{1}', 'TV 24",{2}'], 1),
        ("id,text,url,size", ['1,"a,{0},9', "2,b,{1},9", '3,c",{2},9'], 1),
        ("url,text", ["{0},a", '{1},"b', '{2},"c', '{3},d"'], 2),
    ],
)
def test_a_quote_that_a_later_row_closes_costs_no_other_row(
    tmp_path: Path, header: str, rows: list[str], bad: int
) -> None:
    urls = [f"https://cdn.example/{at}" for at in range(len(rows))]
    lines = [row.format(*urls) for row in rows]

    items = csv_items(tmp_path, "\n".join([header, *lines, ""]))

    read = [each.image.url for each in items if isinstance(each, RawPair)]
    wrong = [each for each in items if isinstance(each, Unreadable)]
    assert len(items) == len(rows)
    assert len(wrong) == bad
    assert all("is not closed" in each.error for each in wrong)
    assert read == [url for url in urls if not any(url in str(each.raw) for each in wrong)]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("url,text", '{0},"a vase,\nred, on a table\nTV 24"""'),
        ("text,url", '"a vase\nTV 24"",\nb, c",{0}'),
        ("id,text,url", '1,"b, c\n2,d, e\n\n3, f, g",{0}'),
        ("url,text", '{0},"seen at\nhttps://shop.example/a.jpg\nin May"'),
        ("url,text,page", '{0},"a\nb","{0}"'),
        ("text,url", '"list:\na.jpg\nb.jpg, c.jpg",{0}'),
    ],
)
def test_a_text_of_several_lines_is_one_row(tmp_path: Path, header: str, row: str) -> None:
    line = row.format(URL)

    items = csv_items(tmp_path, f"{header}\n{line}\n{line}\n")

    assert [isinstance(each, RawPair) for each in items] == [True, True]
    assert all(isinstance(each, RawPair) and "\n" in each.text for each in items)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (f"\n\nurl,text\n{URL},a b\n", ["a b"]),
        (f"sep=;\r\nurl;text\r\n{URL};a b\r\n", ["a b"]),
        (f"url,text\r{URL},a b\r{URL},c\r", ["a b", "c"]),
        (f"url,text\n{URL},a b,\n{URL},c,,\n", ["a b", "c"]),
        (f'url,text\n{URL},"a \\"red\\" vase"\n{URL},"c ""d"""\n', ['a "red" vase', 'c "d"']),
    ],
    ids=["blank", "excel", "returns", "last_delimiter", "backslash"],
)
def test_forms_that_other_programs_write_are_read(
    tmp_path: Path, content: str, expected: list[str]
) -> None:
    items = csv_items(tmp_path, content)

    assert [each.text if isinstance(each, RawPair) else each for each in items] == expected


def test_a_long_value_costs_itself_alone(tmp_path: Path) -> None:
    rows = "".join(f'{URL},"a b","{"x" * size}"\n' for size in (9, 300_000, 9))

    items = csv_items(tmp_path, f"url,text,note\n{rows}")

    assert [each.text for each in items if isinstance(each, RawPair)] == ["a b"] * 3


def test_no_value_of_two_columns_with_one_name_is_lost(tmp_path: Path) -> None:
    (pair,) = csv_items(tmp_path, f"url,text,note,note\n{URL},a b,one,two\n")

    assert isinstance(pair, RawPair)
    assert pair.extra == {"note": "one", "note_2": "two"}


def test_a_file_that_is_no_parquet_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "pairs.parquet"
    path.write_bytes(b"no parquet")

    with pytest.raises(SourceError, match="Parquet"):
        list(open_source(str(path)).read())
