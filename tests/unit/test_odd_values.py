"""What is optional and not understood goes to `extra`, on every way in, and the pair goes on."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kaption.producers.identity import identified
from kaption.producers.image import ClaimCheck
from kaption.producers.sources import Unreadable
from kaption.producers.sources.jsonl import Jsonl
from kaption.schemas import RawPair, decode, encode
from kaption.schemas.address import image_address
from kaption.schemas.lenient import read_raw_pair
from kaption.schemas.limits import EXTRA_BYTES, LIST_ITEMS, TEXT_CHARS

URL = "https://cdn.example/1.jpg"
PAGE = "http://shop.example/a/b.html"
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
UNDERSTOOD = [
    ("tags", ["cat", "pet"], ["cat", "pet"]),
    ("tags", "cat, pet;;", ["cat", "pet"]),
    ("tags", '["cat", "pet"]', ["cat", "pet"]),
    ("tags", [{"label": "cat", "confidence": 0.5}, None, ""], ["cat"]),
    ("objects", ["cat"], ["cat"]),
    ("tags", "猫、犬\uff0c鳥\uff1b魚", ["猫", "犬", "鳥", "魚"]),
    ("tags", "قطة، كلب؛ طائر", ["قطة", "كلب", "طائر"]),
    ("ocr", "SALE, 50%", ["SALE, 50%"]),
    ("fetched_at", 1767323045000000, MOMENT),
    ("fetched_at", 1767323045000000000, MOMENT),
    ("language", "en_US", "en-US"),
    ("language", "de_DE.UTF-8", "de-DE"),
    ("fetched_at", "20260102030405", MOMENT),
    ("fetched_at", 20260102030405, MOMENT),
    ("fetched_at", "Fri, 02 Jan 2026 03:04:05 GMT", MOMENT),
    ("fetched_at", 1767323045, MOMENT),
    ("page_url", "", None),
    ("source", "", None),
    ("licence", None, None),
    ("tags", None, []),
]
NOT_UNDERSTOOD = [
    ("tags", 7),
    ("tags", [1, 2]),
    ("tags", "['cat', 'pet']"),
    ("tags", ["x" * 300]),
    ("ocr", {"lines": 3}),
    ("objects", True),
    ("language", "unknown"),
    ("language", "the English language"),
    ("language", ["en"]),
    ("licence", 4),
    ("licence", "x" * 300),
    ("source", {"name": "shop"}),
    ("page_url", "https://a.example/" + "x" * 9_000),
    ("fetched_at", "yesterday"),
    ("fetched_at", True),
    ("fetched_at", "0001-01-01T00:00:00+01:00"),
    ("fetched_at", "9999-12-31T23:59:59.9999999-05:00"),
    ("extra", [1, 2]),
    ("extra", "note"),
]


def ways(folder: Path, fields: dict[str, Any]) -> list[RawPair]:
    """The pair as the lines of a file, the Publisher and the wire read it."""
    path = folder / "pairs.jsonl"
    path.write_text(json.dumps({"pair_id": "a", "text": "t", "image": URL} | fields))
    (found,) = Jsonl(str(path)).read()
    assert isinstance(found.item, RawPair), found.item
    whole = {"pair_id": "a", "text": "t", "image": {"url": URL}} | fields
    return [found.item, identified(whole), decode(json.dumps(whole).encode(), RawPair)]


def plain(value: Any) -> Any:
    """Names of tags, objects and lines of OCR instead of their records."""
    if isinstance(value, tuple):
        return [next(iter(dict(each).values())) for each in value]
    return value


@pytest.mark.parametrize(("field", "value", "read"), UNDERSTOOD, ids=lambda value: repr(value)[:40])
def test_other_spellings_are_understood(
    tmp_path: Path, field: str, value: object, read: object
) -> None:
    for pair in ways(tmp_path, {field: value}):
        assert plain(getattr(pair, field)) == read
        assert (pair.extra, pair.not_understood) == ({}, ())


@pytest.mark.parametrize(("field", "value"), NOT_UNDERSTOOD, ids=lambda value: repr(value)[:40])
def test_what_is_not_understood_is_kept_as_given_and_counted(
    tmp_path: Path, field: str, value: object
) -> None:
    for pair in ways(tmp_path, {field: value, "mine": 1}):
        assert not getattr(pair, field) or field == "extra"
        assert pair.extra == {field: value, "mine": 1}
        assert pair.not_understood == (field,)
        assert decode(encode(pair), RawPair) == pair


def test_what_is_half_understood_is_read_and_kept(tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "tags": ["cat", 7],
        "objects": [{"label": "cat", "box": [1, 2, 3, 4]}],
        "fetched_at": "2026-01-02 03:04:05",
    }
    for pair in ways(tmp_path, given):
        assert plain(pair.tags) == plain(pair.objects) == ["cat"]
        assert pair.fetched_at == MOMENT
        assert pair.extra == given
        assert sorted(pair.not_understood) == sorted(given)


def test_more_than_a_list_holds_is_cut(tmp_path: Path) -> None:
    for pair in ways(tmp_path, {"tags": [str(number) for number in range(LIST_ITEMS + 1)]}):
        assert len(pair.tags) == LIST_ITEMS
        assert pair.not_understood == ("tags",)


@pytest.mark.parametrize(
    ("text", "read", "noted"),
    [
        (None, "", ()),
        ([], "", ()),
        (["", "a cat"], "a cat", ()),
        (["a cat", "my cat"], "a cat", ("text",)),
        (1984, "1984", ()),
        (3.5, "3.5", ()),
        ([1984], "1984", ()),
        ({"raw": "a cat", "sentid": 3}, "a cat", ("text",)),
        ([{"caption": "a cat"}, {"caption": "my cat"}], "a cat", ("text",)),
        ({"@value": "a cat", "@language": "en"}, "a cat", ("text",)),
        ({"text": ["a cat"]}, "a cat", ("text",)),
        (True, "", ("text",)),
        ({"en": "a cat"}, "", ("text",)),
        ([[[[[["a cat"]]]]]], "", ("text",)),
        ("I love \ud83d", "I love \ufffd", ("text",)),
        ("x" * (TEXT_CHARS + 1), "x" * TEXT_CHARS, ("text",)),
        ("word " * TEXT_CHARS, ("word " * TEXT_CHARS)[:65_534], ("text",)),
        ("a " + "山" * TEXT_CHARS, "a " + "山" * (TEXT_CHARS - 2), ("text",)),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_text_of_another_shape_is_read(
    tmp_path: Path, text: object, read: str, noted: tuple[str, ...]
) -> None:
    for pair in ways(tmp_path, {"text": text}):
        assert pair.extra == ({"text": text} if noted and not isinstance(text, str) else {})
        assert pair.text[: len(read)] == read
        assert len(pair.text) <= TEXT_CHARS
        assert pair.not_understood == noted


@pytest.mark.parametrize(
    ("given", "signals"),
    [
        (False, []),
        ("no", []),
        ([], []),
        (True, ["declared"]),
        ("noai, noimageai", ["noai", "noimageai"]),
        (["noai"], ["noai"]),
        ([{"kind": "robots_meta", "value": 5}], ["robots_meta"]),
        ({"reserved": 1}, ["declared"]),
        ([["deep"]], ["declared"]),
        ([{"kind": "noai"}] * 300, ["noai"] * LIST_ITEMS),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_an_opt_out_of_another_shape_still_counts(
    tmp_path: Path, given: object, signals: list[str]
) -> None:
    for pair in ways(tmp_path, {"opt_out": given}):
        assert [signal.kind for signal in pair.opt_out] == signals


def test_an_extra_above_its_limit_keeps_the_address_and_what_fits(tmp_path: Path) -> None:
    given = {"image_url": URL, "note": "n" * 100, "page": "p" * EXTRA_BYTES}
    for pair in ways(tmp_path, {"extra": given}):
        assert pair.extra == {"image_url": URL, "note": "n" * 100}
        assert pair.not_understood == ("extra",)
    for pair in ways(tmp_path, {f"key{number}": number for number in range(100)}):
        assert len(pair.extra) == 64


def test_a_value_in_a_field_and_in_extra_is_kept_twice(tmp_path: Path) -> None:
    for pair in ways(tmp_path, {"mine": 1, "extra": {"mine": 2}}):
        assert pair.extra == {"mine": 2, "mine_given": 1}


def test_values_of_python_become_the_nearest_of_json() -> None:
    given = {"when": MOMENT, "set": {1}, "nan": float("nan"), "inf": [float("inf")], "raw": b"x"}
    pair = read_raw_pair({"pair_id": "a", "text": "t", "image": URL, **given})

    assert pair.extra == {"when": MOMENT.isoformat(), "set": [1], "nan": None, "inf": ["Infinity"]}
    assert pair.not_understood == ("extra",)


@pytest.mark.parametrize(("given", "pair_id"), [(17, "17"), (17.0, "17"), ("x", "x")])
def test_a_number_is_a_pair_id(given: object, pair_id: str) -> None:
    assert identified({"pair_id": given, "text": "t", "image": URL}).pair_id == pair_id


@pytest.mark.parametrize("given", ["x" * 300, ["a"], "a\ud83d", True])
def test_a_pair_id_that_is_none_is_derived(given: object) -> None:
    pair = identified({"pair_id": given, "text": "t", "image": URL})

    assert pair.pair_id == identified({"text": "t", "image": URL}).pair_id
    assert (list(pair.extra), pair.not_understood) == (["pair_id_given"], ("pair_id",))


ADDRESSES = [
    ("ht\ntps:\t//cdn.example/1.jpg", None, "ht\ntps:\t//cdn.example/1.jpg"),
    ("/1.jpg", "ht\ttp://shop.example\n/a/", "http://shop.example/1.jpg"),
    ("da\nta:image/png,%89PNG", None, b"\x89PNG"),
    ("HTTPS://cdn.example/1.jpg", None, "HTTPS://cdn.example/1.jpg"),
    (f"  {URL}\n", None, URL),
    ("//cdn.example/a.jpg", None, "https://cdn.example/a.jpg"),
    ("//cdn.example/a.jpg", PAGE, "http://cdn.example/a.jpg"),
    ("/img/x.jpg?w=1", PAGE, "http://shop.example/img/x.jpg?w=1"),
    ("/..//a.example/x.jpg", PAGE, "http://shop.example/..//a.example/x.jpg"),
    ("/\\cdn.example/a.jpg", PAGE, "http://cdn.example/a.jpg"),
    ("/x.jpg", "HTTPS:\\\\shop.example?a=/b", "HTTPS:\\\\shop.example/x.jpg"),
    ("data:image/png;base64,iVBO Rw0K", None, b"\x89PNG\r\n"),
    ("DATA:image/gif,GIF89a%00", None, b"GIF89a\0"),
    ("data:image/png;base64,_-8", None, b"\xff\xef"),
]
REFUSED = [
    "/etc/hostname",
    "../../../../etc/hostname",
    "img/x.jpg",
    "C:\\Users\\x.jpg",
    "file:///etc/hostname",
    "FiLe:///etc/hostname",
    " file:/etc/hostname",
    "ftp://a.example/1.jpg",
    "///etc/hostname",
    "/\\/etc/hostname",
    "\\\\server\\x.jpg",
    "//",
    "~/.ssh/id_rsa",
    "",
    "data:text/html,<p>",
    "data:image/png;base64,@@@",
    "data:image/png;base64,",
    "javascript:alert(1)",
]


@pytest.mark.parametrize(("text", "page", "meant"), ADDRESSES)
def test_an_address_has_its_meaning(text: str, page: str | None, meant: str | bytes) -> None:
    assert image_address(text, page) == meant
    source, _ = ClaimCheck(None).source(text, page)
    fields = {"pair_id": "a", "text": "t", "page_url": page}
    wire = decode(json.dumps(fields | {"image": text}).encode(), RawPair)
    inner = decode(json.dumps(fields | {"image": {"url": text}}).encode(), RawPair)
    assert (source.url or source.inline) == meant
    assert source == wire.image == inner.image


@pytest.mark.parametrize("text", REFUSED)
def test_a_string_never_names_a_file(text: str) -> None:
    with pytest.raises(ValueError, match=r"image|data: URI"):
        ClaimCheck(None).source(text)
    with pytest.raises(ValueError, match=r"image|data: URI"):
        decode(json.dumps({"pair_id": "a", "text": "t", "image": text}).encode(), RawPair)


def test_a_path_of_the_users_own_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8")

    assert ClaimCheck(None).source(tmp_path / "a.jpg")[0].inline == b"\xff\xd8"


def test_lines_name_files_below_their_folder_only(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "in-other"
    (inside / "deep").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.jpg").write_bytes(b"secret")
    (inside / "deep" / "a.jpg").write_bytes(b"mine")
    (inside / "link.jpg").symlink_to(outside / "secret.jpg")
    (inside / "folder").symlink_to(outside)
    (inside / "loop.jpg").symlink_to("loop.jpg")
    (inside / "good.jpg").symlink_to("deep/a.jpg")

    def item(image: str, **fields: str) -> Any:
        path = inside / "pairs.jsonl"
        path.write_text(json.dumps({"text": "t", "image": image, **fields}))
        (found,) = Jsonl(str(path)).read()
        return found.item

    for allowed in ("deep/a.jpg", "./deep/../deep/a.jpg", "good.jpg", f"{inside}/deep/a.jpg"):
        assert item(allowed).image.inline == b"mine", allowed
    for refused in (
        "../in-other/secret.jpg",
        f"{outside}/secret.jpg",
        "link.jpg",
        "folder/secret.jpg",
        "deep/../../in-other/secret.jpg",
        "/proc/self/environ",
        "loop.jpg",
        "deep/a.jpg\0",
        "\ud800.jpg",
        "DEEP/../../in-other/secret.jpg",
    ):
        found = item(refused)
        assert isinstance(found, Unreadable), refused
        assert b"secret" not in found.raw.replace(refused.encode(errors="replace"), b"")
    assert item("/img/x.jpg", page_url=PAGE).image.url == "http://shop.example/img/x.jpg"


PAIR: dict[str, Any] = {"pair_id": "p", "text": "a cat", "image": {"url": URL}}
BY_OTHER_NAMES = [
    ("licence", "license", "CC-BY-4.0", "CC-BY-4.0"),
    ("licence", "License", "CC0-1.0", "CC0-1.0"),
    ("language", "lang", "en_US", "en-US"),
    ("text", "caption", "a cat", "a cat"),
    ("text", "ALT", {"@value": "a cat"}, "a cat"),
    ("image", "URL", URL, URL),
    ("image", "image_url", URL, URL),
]


@pytest.mark.parametrize(("field", "name", "given", "read"), BY_OTHER_NAMES)
@pytest.mark.parametrize("own", ["beside", "in extra", "absent"])
def test_a_missing_field_is_found_under_the_names_that_others_give_it(
    field: str, name: str, given: object, read: str, own: str
) -> None:
    missing = {each: value for each, value in PAIR.items() if each != field}
    fields = {
        "beside": missing | {name: given, field: None},
        "in extra": missing | {"extra": {name: given, "mine": 1}},
        "absent": missing | {name: given},
    }[own]

    for pair in (decode(json.dumps(fields).encode(), RawPair), identified(fields)):
        found = pair.image.url if field == "image" else getattr(pair, field)
        assert found == read
        assert name not in pair.extra
        assert decode(encode(pair), RawPair) == pair


def test_a_field_under_its_own_name_goes_before_other_names() -> None:
    others = {"license": "MIT", "caption": "a dog", "url": "https://cdn.example/2.jpg"}
    fields = PAIR | {"licence": "CC0-1.0", "text": ""} | others

    for pair in (decode(json.dumps(fields).encode(), RawPair), identified(fields)):
        assert (pair.licence, pair.text, pair.image.url) == ("CC0-1.0", "", URL)
        assert pair.extra == others


def test_what_is_not_understood_under_another_name_is_kept_and_counted() -> None:
    pair = decode(json.dumps(PAIR | {"license": 4}).encode(), RawPair)

    assert (pair.licence, pair.not_understood) == (None, ("licence",))
    assert 4 in pair.extra.values()
    assert decode(encode(pair), RawPair) == pair
