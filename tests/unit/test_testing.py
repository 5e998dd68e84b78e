"""What users' tests import: record builders without pytest, and suites for every family."""

from pathlib import Path

import pytest

from kaption.schemas import Versioned, decode, encode, headers_of
from kaption.testing import records
from support.imports import loaded_by, tree_of

TREE = tree_of(Path(__file__).parents[2] / "kaption")


def test_builders_need_no_pytest_and_suites_do() -> None:
    assert "pytest" not in loaded_by(TREE, ["kaption.testing.records"])
    for family in ("captioners", "checks", "scorers", "sources", "stages"):
        assert "pytest" in loaded_by(TREE, [f"kaption.testing.{family}"])


@pytest.mark.parametrize("kind", records.BUILDERS)
def test_each_builder_makes_a_record_that_travels(kind: type[Versioned]) -> None:
    record, other = records.record_of(kind, 3), records.record_of(kind, 4, source="crawl")

    assert decode(encode(record), kind, headers_of(record)) == record
    assert record.pair_id != other.pair_id
    assert other.source == "crawl"
