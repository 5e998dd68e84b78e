"""Archives in every form are read: compressed by records or as a whole, or in a WACZ."""

from pathlib import Path

import pytest

from kaption.producers.sources import open_source
from kaption.schemas import RawPair
from support.archive_forms import FORMS, TEXTS, items, site, texts, write
from support.source_inputs import IMAGE

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_pairs_with_their_images(tmp_path: Path, form: str) -> None:
    found = items(write(tmp_path, form, site()))

    assert texts(found) == TEXTS
    assert [each.image.inline for each in found if isinstance(each, RawPair)] == [
        IMAGE + text.encode() for text in TEXTS
    ]


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_told_by_its_content_too(tmp_path: Path, form: str) -> None:
    assert texts(items(write(tmp_path, form, site(), name="download (1)"))) == TEXTS


@pytest.mark.parametrize("form", FORMS)
def test_reading_goes_on_behind_each_cursor(tmp_path: Path, form: str) -> None:
    path = write(tmp_path, form, site())
    cursors = [found.cursor for found in open_source(str(path)).read()]

    for number, cursor in enumerate(cursors, start=1):
        assert texts(items(path, cursor)) == TEXTS[number:]
