"""Storing and reading the takedowns of a dataset."""

from datetime import timedelta
from pathlib import Path

import pytest

from kaption.objectstore.dataset.takedowns import add_takedown, read_takedowns, takedown_keys
from kaption.objectstore.folder import FolderStore
from kaption.schemas import Takedown, TakedownKind
from support.model_stages import NOW


def takedown(value: str) -> Takedown:
    return Takedown(kind=TakedownKind.DOMAIN, value=value, requested_at=NOW)


@pytest.mark.parametrize("prefix", ["", "team/dataset"])
def test_a_repeated_takedown_is_stored_once_as_first_requested(tmp_path: Path, prefix: str) -> None:
    objects, first = FolderStore(tmp_path), takedown("example.org")
    again = takedown("EXAMPLE.org").model_copy(update={"requested_at": NOW + timedelta(days=1)})

    added = [add_takedown(objects, prefix, each) for each in (first, again, takedown("b.example"))]

    assert added == [True, False, True]
    found = read_takedowns(objects, takedown_keys(objects, prefix)).values()
    assert sorted(each.value for each in found) == ["b.example", "example.org"]
    assert {each.requested_at for each in found} == {NOW}


def test_a_takedown_deleted_after_the_listing_is_left_out(tmp_path: Path) -> None:
    objects = FolderStore(tmp_path)
    add_takedown(objects, "dataset", takedown("example.org"))
    keys = takedown_keys(objects, "dataset")

    found = read_takedowns(objects, keys | {"dataset/takedown/withdrawn.json"})

    assert found.keys() == keys
