"""What every source keeps to."""

# ruff: noqa: D102 - a test's name says what it shows

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kaption.producers.sources import Found, Large, Source, SourceError, Unreadable, open_source
from kaption.producers.sources.source import CURSOR_CHARS
from kaption.schemas import RawPair, encode
from kaption.schemas.limits import RAW_MESSAGE_BYTES

Write = Callable[[Path], str]
"""Writes an input below a folder and gives its location."""


class SourceConformance:
    """Override the fixtures `format_` and `write`.

    The input must be a file or folder, and hold two pairs or more.
    """

    @pytest.fixture
    def format_(self) -> str:
        raise NotImplementedError("override the fixture `format_`")

    @pytest.fixture
    def write(self) -> Write:
        raise NotImplementedError("override the fixture `write`")

    @pytest.fixture
    def location(self, write: Write, tmp_path: Path) -> str:
        """Give an input of the test's own."""
        return write(tmp_path)

    @pytest.fixture
    def source(self, format_: str, location: str) -> Source:
        """Open it as `kaption produce` does."""
        return open_source(location, format_)

    def test_items_are_pairs_or_say_why_they_are_none(self, source: Source) -> None:
        items = [found.item for found in source.read()]

        found = (item.pair if isinstance(item, Large) else item for item in items)
        pairs = [item for item in found if isinstance(item, RawPair)]
        assert len(pairs) >= 2
        assert len({pair.pair_id for pair in pairs}) == len(pairs)
        assert all(len(encode(pair)) <= RAW_MESSAGE_BYTES for pair in pairs)
        for item in items:
            if isinstance(item, Unreadable):
                assert item.place
                assert item.raw
                assert item.error

    def test_it_reads_the_same_twice(self, format_: str, location: str) -> None:
        first, second = (list(open_source(location, format_).read()) for _ in range(2))

        assert first == second

    def test_behind_each_cursor_is_exactly_the_rest(self, source: Source) -> None:
        found = list(source.read())

        for at, (_, cursor, _) in enumerate(found, start=1):
            assert list(source.read(cursor)) == found[at:]
            assert len(cursor) <= CURSOR_CHARS

    def test_its_identity_is_that_of_the_input(
        self, format_: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Given two inputs of the same content
        one, two = tmp_path / "one", tmp_path / "two"
        one.mkdir()
        two.mkdir()
        location, other = write(one), write(two)
        monkeypatch.chdir(one)

        # When they are opened, then each has an identity, whichever way its path is written
        identity = open_source(location, format_).identity
        assert open_source(location, format_).identity == identity
        assert open_source(os.path.relpath(location), format_).identity == identity
        assert open_source(other, format_).identity != identity

    def test_a_cursor_holds_for_a_relative_path_too(
        self, format_: str, location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        found = _read(open_source(location, format_))

        assert _read(open_source(os.path.relpath(location), format_), found[0].cursor) == found[1:]

    def test_a_missing_input_is_named_in_the_error(
        self, format_: str, location: str, tmp_path: Path
    ) -> None:
        missing = str(tmp_path / f"no-such-{Path(location).name}")

        with pytest.raises(SourceError, match="no-such"):
            _read(open_source(missing, format_))

    @pytest.mark.parametrize("cursor", ["", "{}", "[null]", "[" * 100])
    def test_a_cursor_of_another_source_is_refused(self, source: Source, cursor: str) -> None:
        with pytest.raises(SourceError, match="--from-start"):
            _read(source, cursor)


def _read(source: Source, after: str | None = None) -> list[Found]:
    return list(source.read(after))
