"""Every source of the package passes the suite for sources, and reads the same four pairs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kaption.producers.sources import (
    Item,
    Source,
    SourceError,
    Unreadable,
    open_source,
    source_formats,
)
from kaption.schemas import RawPair, Takedown, TakedownKind
from kaption.testing.sources import SourceConformance, Write
from support.model_stages import NOW
from support.source_inputs import INPUTS, TEXTS

CASES = [(name, make) for name, makers in INPUTS.items() for make in makers]
Case = tuple[str, Callable[[Path], str]]


def items_of(source: Source) -> list[Item]:
    return [found.item for found in source.read()]


class TestOurSources(SourceConformance):
    @pytest.fixture(params=CASES, ids=[make.__name__ for _, make in CASES])
    def case(self, request: pytest.FixtureRequest) -> Case:
        name, make = request.param
        return name, make

    @pytest.fixture
    def format_(self, case: Case) -> str:
        return case[0]

    @pytest.fixture
    def write(self, case: Case) -> Write:
        return case[1]

    def test_it_is_recognised_by_its_own_format_alone(self, format_: str, location: str) -> None:
        formats = source_formats()

        recognised = [name for name, source in formats.items() if source.recognises(location)]

        assert recognised == [format_]
        assert type(open_source(location)) is formats[format_]

    def test_pairs_come_in_order_with_what_is_none_between_them(self, source: Source) -> None:
        items = items_of(source)

        assert [item.text for item in items if isinstance(item, RawPair)] == list(TEXTS)
        assert [at for at, item in enumerate(items) if isinstance(item, Unreadable)] == [3]

    def test_each_place_is_told(self, source: Source) -> None:
        found = list(source.read())

        assert all(each.place for each in found)
        assert [each.place for each in found if isinstance(each.item, Unreadable)] == [
            each.item.place for each in found if isinstance(each.item, Unreadable)
        ]

    def test_where_images_came_from_can_be_taken_down(self, format_: str, source: Source) -> None:
        pairs = [item for item in items_of(source) if isinstance(item, RawPair)]

        scheme = "http" if format_ == "warc" else "https"
        for at, pair in enumerate(pairs):
            rules = [
                (TakedownKind.URL, f"{scheme}://cdn.example/{at}.jpg"),
                (TakedownKind.DOMAIN, "cdn.example"),
            ]
            for kind, value in rules:
                assert Takedown(kind=kind, value=value, requested_at=NOW).covers(pair)

    def test_a_missing_input_is_named_by_the_source_itself(
        self, format_: str, location: str, tmp_path: Path
    ) -> None:
        # Not by open_source, which looks for the path first.
        missing = str(tmp_path / f"no-such-{Path(location).name}")

        with pytest.raises(SourceError, match="no-such"):
            items_of(source_formats()[format_](missing))


def test_each_source_has_an_input() -> None:
    assert set(INPUTS) == set(source_formats())
