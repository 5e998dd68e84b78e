"""Every source keeps the same promises, whatever it reads."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kaption.producers.sources import (
    Found,
    Source,
    SourceError,
    Unreadable,
    open_source,
    source_formats,
)
from kaption.producers.sources.source import CURSOR_CHARS
from kaption.schemas import RawPair, Takedown, TakedownKind
from support.model_stages import NOW
from support.source_inputs import INPUTS, TEXTS

CASES = [(name, make) for name, makers in INPUTS.items() for make in makers]
Make = Callable[[Path], str]

pytestmark = pytest.mark.parametrize(
    ("name", "make"), CASES, ids=[make.__name__ for _, make in CASES]
)


def opened(make: Make, folder: Path) -> Source:
    return open_source(make(folder))


def read(source: Source, after: str | None = None) -> list[Found]:
    return list(source.read(after))


def test_it_is_recognised_by_its_own_format_alone(name: str, make: Make, tmp_path: Path) -> None:
    location = make(tmp_path)

    recognised = [each for each, source in source_formats().items() if source.recognises(location)]

    assert recognised == [name]
    assert type(open_source(location)) is source_formats()[name]


def test_pairs_come_in_order_and_what_is_none_between_them(
    name: str, make: Make, tmp_path: Path
) -> None:
    items = [found.item for found in read(opened(make, tmp_path))]

    pairs = [item for item in items if isinstance(item, RawPair)]
    assert [pair.text for pair in pairs] == list(TEXTS)
    assert [at for at, item in enumerate(items) if isinstance(item, Unreadable)] == [3]
    bad = items[3]
    assert isinstance(bad, Unreadable)
    assert bad.raw
    assert bad.error
    assert bad.place


def test_where_images_came_from_can_be_taken_down(name: str, make: Make, tmp_path: Path) -> None:
    items = [found.item for found in read(opened(make, tmp_path))]

    pairs = [item for item in items if isinstance(item, RawPair)]
    scheme = "http" if name == "warc" else "https"
    for at, pair in enumerate(pairs):
        rules = [
            (TakedownKind.URL, f"{scheme}://cdn.example/{at}.jpg"),
            (TakedownKind.DOMAIN, "cdn.example"),
        ]
        for kind, value in rules:
            assert Takedown(kind=kind, value=value, requested_at=NOW).covers(pair)


def test_it_reads_the_same_twice(name: str, make: Make, tmp_path: Path) -> None:
    location = make(tmp_path)

    assert read(open_source(location)) == read(open_source(location))


def test_behind_each_cursor_is_exactly_the_rest(name: str, make: Make, tmp_path: Path) -> None:
    source = opened(make, tmp_path)
    found = read(source)

    for at, (_, cursor) in enumerate(found, start=1):
        assert read(source, cursor) == found[at:]
        assert len(cursor) <= CURSOR_CHARS


def test_its_identity_is_that_of_the_input(
    name: str, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    location = make(one)
    other = make(two)
    monkeypatch.chdir(one)

    identity = open_source(location).identity

    assert open_source(location).identity == identity
    assert open_source(os.path.relpath(location)).identity == identity
    assert open_source(other).identity != identity


def test_a_relative_path_goes_on_with_the_cursor_of_an_absolute_one(
    name: str, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = make(tmp_path)
    monkeypatch.chdir(tmp_path)
    found = read(open_source(location))

    assert read(open_source(os.path.relpath(location)), found[1].cursor) == found[2:]


def test_an_input_that_is_not_there_is_said(name: str, make: Make, tmp_path: Path) -> None:
    missing = str(tmp_path / f"no-such-{Path(make(tmp_path)).name}")

    with pytest.raises(SourceError, match="no-such"):
        read(source_formats()[name](missing))


def test_a_cursor_of_something_else_is_refused(name: str, make: Make, tmp_path: Path) -> None:
    source = opened(make, tmp_path)

    for cursor in ("", "{}", "[null]", "[" * 100):
        with pytest.raises(SourceError, match="--from-start"):
            read(source, cursor)


def test_each_has_an_input(name: str, make: Make) -> None:
    assert set(INPUTS) == set(source_formats())
