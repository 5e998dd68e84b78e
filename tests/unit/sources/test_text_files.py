"""JSON lines, JSON arrays and tables in other encodings, compressed, and without quotes."""

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from kaption.producers.sources import Found, SourceError, Unreadable, open_source
from kaption.schemas import RawPair

pytestmark = pytest.mark.slow

URL = "https://cdn.example/{}.jpg"
TEXTS = ["a cat", "ein Krüg ☕", "红色的花瓶", 'the boss said "', "🎈 last"]
ROWS = [{"url": URL.format(at), "caption": text} for at, text in enumerate(TEXTS)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
TSV = "url\tcaption\n" + "".join(f"{row['url']}\t{row['caption']}\n" for row in ROWS)
CSV = "url,caption\n" + "".join(
    '{},"{}"\n'.format(row["url"], row["caption"].replace('"', '""')) for row in ROWS
)
FILES = {
    "a.jsonl": LINES,
    "a.ndjson": LINES,
    "array.json": json.dumps(ROWS, ensure_ascii=False),
    "pretty.json": json.dumps(ROWS, indent=2),
    "array.jsonl": f" [\n{json.dumps(ROWS)[1:-1]}\n]\n",
    "a.tsv": TSV,
    "a.csv": CSV,
}
PACKINGS: dict[str, Callable[[str], bytes]] = {
    "": str.encode,
    ".gz": lambda text: gzip.compress(text.encode()),
    ".bz2": lambda text: bz2.compress(text.encode()),
    ".xz": lambda text: lzma.compress(text.encode()),
    # With a checksum, as the program zstd writes it.
    ".zst": lambda text: zstd.compress(
        text.encode(), options={zstd.CompressionParameter.checksum_flag: 1}
    ),
    "utf-16.zst": lambda text: zstd.compress(text.encode("utf-16")),
    "two.bz2": lambda text: b"".join(bz2.compress(half.encode()) for half in halves(text)),
    "two.zst": lambda text: b"".join(zstd.compress(half.encode()) for half in halves(text)),
    "bom": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-16-be": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "utf-32": lambda text: text.encode("utf-32"),
    "utf-16.gz": lambda text: gzip.compress(text.encode("utf-16")),
    "two.gz": lambda text: b"".join(gzip.compress(half.encode()) for half in halves(text)),
}


def halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def written(folder: Path, name: str, packing: str, text: str) -> Path:
    ending = Path(f"a{packing}").suffix
    path = folder / f"{name}{ending}"
    path.write_bytes(PACKINGS[packing](text))
    return path


def found(path: Path, after: str | None = None, **options: str) -> list[Found]:
    return list(open_source(str(path), options=options).read(after))


def texts(items: list[Found]) -> list[str]:
    return [each.item.text if isinstance(each.item, RawPair) else "-" for each in items]


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("name", FILES)
def test_every_encoding_gives_the_same_pairs_and_goes_on_from_each(
    tmp_path: Path, name: str, packing: str
) -> None:
    path = written(tmp_path, name, packing, FILES[name])

    items = found(path)

    assert texts(items) == TEXTS
    for at, each in enumerate(items, start=1):
        assert texts(found(path, each.cursor)) == TEXTS[at:]


def test_an_array_of_many_and_large_values_is_read_in_pieces(tmp_path: Path) -> None:
    rows = [{**ROWS[0], "note": "ü" * (at * 1000)} for at in range(300)]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows, ensure_ascii=False))

    items = found(path)

    assert len(items) == 300
    assert texts(found(path, items[150].cursor)) == ["a cat"] * 149


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('[{"url": "u", "caption": "a"}, {"url": ', "value 2: the value at byte 31"),
        ('[{"url": "u", "caption": "a"} {}]', "no ',' but '{'"),
        ('[{"url": "u", "caption": "a"}', "ends at byte 29 without a ]"),
    ],
)
def test_a_damaged_array_is_an_error_behind_its_sound_values(
    tmp_path: Path, text: str, error: str
) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text)
    reading = open_source(str(path)).read()
    with pytest.raises(SourceError, match=error.replace("]", "\\]")):
        list(reading)


@pytest.mark.parametrize("packing", [".gz", ".bz2", ".xz", ".zst"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "array.json"])
def test_a_compressed_file_that_is_damaged_or_cut_off_is_an_error(
    tmp_path: Path, name: str, packing: str
) -> None:
    path = written(tmp_path, name, packing, FILES[name])
    whole = path.read_bytes()
    at = len(whole) // 2
    for broken in (whole[:-5], whole[:at], whole[:at] + bytes(20) + whole[at + 20 :]):
        path.write_bytes(broken)
        with pytest.raises(SourceError, match="damaged or cut off"):
            found(path)


def test_a_text_that_begins_as_compressed_data_does_is_a_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("BZh91AX,url,caption\n1," + URL.format(0) + ",a cat\n")

    assert texts(found(path)) == ["a cat"]


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (
            [{"photo": "p", "title": "t"}],
            "known name for the image: it has photo, title; .*image_column",
        ),
        ([{"photo": URL, "text": "t"}] * 30, "known name for the image: .*image_column=NAME"),
        ([{"url": URL, "title": "t"}] * 2, "known name for the text: .*text_column=NAME"),
        (
            [["bad"]] * 60 + [{"photo": URL, "title": "t"}],
            "known name for the image: .*image_column",
        ),
    ],
)
def test_names_that_match_nothing_stop_with_a_hint(
    tmp_path: Path, lines: list[object], error: str
) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    with pytest.raises(SourceError, match=error):
        found(path)


def test_bad_lines_before_good_ones_stop_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("{no json}\n" * 60 + LINES)

    assert texts(found(path)) == ["-"] * 60 + TEXTS


def test_other_names_can_be_given(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"photo": URL, "title": "t", "text": "other"}))

    (item,) = found(path, image_column="photo", text_column="title", source="shop")

    assert isinstance(item.item, RawPair)
    assert (item.item.image.url, item.item.text, item.item.source) == (URL, "t", "shop")


def test_records_without_an_image_among_others_are_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(f'{{"text": "t"}}\n{json.dumps(ROWS[0])}\n')

    first, second = found(path)

    assert isinstance(first.item, Unreadable)
    assert isinstance(second.item, RawPair)


def test_a_quote_in_a_tsv_is_a_character(tmp_path: Path) -> None:
    path = tmp_path / "gcc.tsv"
    given = ['"Life is good', "plain", 'said "', '""']
    path.write_text("".join(f"{text}\t{URL}\n" for text in given))

    assert texts(found(path, columns="caption,url")) == given


def test_quotes_of_a_table_can_be_chosen(tmp_path: Path) -> None:
    tsv, csv = tmp_path / "a.tsv", tmp_path / "a.csv"
    tsv.write_text('caption\turl\n"a\tb"\tu\n')
    csv.write_text("caption,url\n'a,b',u\n")

    assert texts(found(tsv, quote='"')) == ["a\tb"]
    assert texts(found(csv, quote="'")) == ["a,b"]
    csv.write_text('caption,url\n"a,u\n')
    assert texts(found(csv, quote="none")) == ['"a']
    with pytest.raises(SourceError, match="quote=both: give one character"):
        found(csv, quote="both")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("url;caption\nu;a\n", "separated by ';': give -o 'delimiter=;'"),
        ("url;caption\nu;a, b\nu;c, d\n", "separated by ';'"),
        ("url|caption\nu|a\n", "separated by '|'"),
        ("url\tcaption\nu\ta\n", "separated by 'tab': give -o 'delimiter=tab'"),
        (f"{URL},a cat\n", "no header: give the names of its columns with -o columns="),
    ],
)
def test_a_table_with_another_delimiter_or_no_header_says_so(
    tmp_path: Path, text: str, hint: str
) -> None:
    path = tmp_path / "semi.csv"
    path.write_text(text)

    with pytest.raises(SourceError) as raised:
        found(path)

    assert hint in str(raised.value)


def test_a_delimiter_that_was_hinted_at_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("url\tcaption\nu\ta cat\n")

    assert texts(found(path, delimiter="tab")) == ["a cat"]


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.csv", "pairs.tsv"])
@pytest.mark.parametrize(
    "data",
    [bytes(range(256)) * 40, b"\x89PNG\r\n\x1a\n" + bytes(900), LINES.encode("utf-16-le")],
    ids=["bytes", "picture", "utf-16 without a mark"],
)
def test_a_file_that_is_no_text_stops_with_what_to_do(
    tmp_path: Path, name: str, data: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(data)

    with pytest.raises(SourceError, match=r"is not text in UTF-8.*--format"):
        list(open_source(str(path)).read())
