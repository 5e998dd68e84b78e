# ruff: noqa: RUF001  # curly quotes are what is read
"""Text files that are not in UTF-8 are read in the encoding that is named, or stop with a hint."""

import json
from pathlib import Path

import pytest

from kaption.producers.sources import SourceError, Unreadable, open_source
from kaption.schemas import RawPair

TEXTS = {
    "latin-1": ["Ein grüner Fußball auf der Wiese", "Café à Paris"],
    "windows-1252": ["“Smart” — it’s a café", "señorita en la playa"],
    "windows-1250": ["Červená váza stojí na dřevěném stole", "Żółta łódź na jeziorze"],
    "windows-1251": ["Красная ваза на деревянном столе", "Две собаки играют в снегу"],
    "koi8-r": ["Красная ваза на деревянном столе", "Две собаки играют в снегу"],
    "shift_jis": ["机の上の赤い花瓶", "猫が窓辺で寝ている表"],
    "gbk": ["红色的花瓶放在木桌上", "两只狗在雪地里玩耍"],
    "big5": ["紅色的花瓶放在木桌上", "兩隻狗在雪地裡玩耍"],
    "euc-kr": ["빨간 꽃병이 나무 탁자 위에 있다", "바다 위의 흰 배"],
    "utf-16-le": ["Eine rote Vase", "红色的花瓶"],
}


def written(folder: Path, name: str, texts: list[str], encoding: str) -> Path:
    urls = [f"https://cdn.example/{at}.jpg" for at in range(len(texts))]
    rows = [{"url": url, "caption": text} for url, text in zip(urls, texts, strict=True)]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    if name.endswith(".csv"):
        lines = ["url,caption", *(f"{row['url']},{row['caption']}" for row in rows)]
    path = folder / name
    path.write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
    return path


def texts(path: Path, after: str | None = None, **options: str) -> list[str]:
    found = open_source(str(path), options=options).read(after)
    return [each.item.text if isinstance(each.item, RawPair) else "-" for each in found]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
@pytest.mark.parametrize("encoding", TEXTS)
def test_a_file_in_another_encoding_is_read_as_named_and_else_stops(
    tmp_path: Path, name: str, encoding: str
) -> None:
    path = written(tmp_path, name, TEXTS[encoding], encoding)

    assert texts(path, encoding=encoding) == TEXTS[encoding]
    first = next(open_source(str(path), options={"encoding": encoding}).read())
    assert texts(path, first.cursor, encoding=encoding) == TEXTS[encoding][1:]
    with pytest.raises(SourceError, match="-o encoding="):
        texts(path)


@pytest.mark.parametrize("encoding", ["windows-1252", "shift_jis", "gbk", "windows-1251"])
def test_the_hint_names_the_encoding_and_shows_the_line(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path, "a.csv", ["plain", *TEXTS[encoding]], encoding)

    with pytest.raises(SourceError, match="first in line 3") as told:
        texts(path)

    guess = str(told.value).partition("-o encoding=")[2].partition(",")[0]
    assert texts(path, encoding=guess) == ["plain", *TEXTS[encoding]]
    assert TEXTS[encoding][0] in str(told.value)


def test_a_last_line_without_a_break_has_a_number(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("url,caption\nhttps://cdn.example/1.jpg,Größe".encode("latin-1"))

    with pytest.raises(SourceError, match="first in line 2"):
        texts(path)


def test_the_first_accent_may_come_late(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", ["a red vase"] * 20_000 + ["Grüße"], "latin-1")

    with pytest.raises(SourceError, match=r"line 20002.*windows-1252"):
        texts(path)


def test_damage_in_utf_8_costs_its_line_alone(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", ["Grüße", "Fuß", "Bär", "kept \ufffd"], "utf-8")
    path.write_bytes(path.read_bytes().replace("Fuß".encode(), b"Fu\xdf"))

    assert texts(path) == ["Grüße", "-", "Bär", "kept \ufffd"]


@pytest.mark.parametrize(("half", "expected"), [(b"", "\ufffd"), (b"\xed\xb8\x80", "\U0001f600")])
def test_surrogates_in_utf_8_cost_no_row(tmp_path: Path, half: bytes, expected: str) -> None:
    path = written(tmp_path, "a.csv", ["smile XX here"], "utf-8")
    path.write_bytes(path.read_bytes().replace(b"XX", b"\xed\xa0\xbd" + half))

    assert texts(path) == [f"smile {expected} here"]


def test_utf_8_as_named_passes_over_other_lines(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", ["plain", "Grüße"], "latin-1")

    items = [each.item for each in open_source(str(path), options={"encoding": "utf-8"}).read()]

    assert isinstance(items[0], RawPair)
    assert isinstance(items[1], Unreadable)


@pytest.mark.parametrize(
    "encoding",
    [
        "latin-1",
        "windows-1251",
        "koi8-r",
        "shift_jis",
        "gbk",
        "euc-kr",
        "utf-8",
        "utf-8-sig",
        "utf-16",
        "utf-32",
    ],
)
def test_a_text_beside_an_image_is_read_in_the_encoding_it_has(
    tmp_path: Path, encoding: str
) -> None:
    text = " ".join(TEXTS.get(encoding, ["Ein grüner Fußball", "红色的花瓶"]))
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff picture")
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))

    assert texts(tmp_path) == [text]


@pytest.mark.parametrize("name", ["utf8mb5", "hex", "base64", ""])
def test_what_is_no_encoding_is_told(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, "a.csv", ["plain"], "utf-8")

    with pytest.raises(SourceError, match="no encoding of that name"):
        texts(path, encoding=name)
