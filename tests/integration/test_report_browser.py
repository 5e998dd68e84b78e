"""The report in a real Chromium: it fits, it filters, and texts of the web stay texts."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from kaption.objectstore.blobs import BlobStore, blob_key
from kaption.objectstore.folder import FolderStore
from kaption.schemas import Reason
from kaption.workers.report.census import Census
from kaption.workers.report.gallery import Gallery
from kaption.workers.report.page import ReportContent, render
from support.reporting import ATTACKS, chromium, died, kept, opened, owner, refused

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as program:
        yield program


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of outcomes whose texts attack it."""
    folder = tmp_path_factory.mktemp("report")
    objects = FolderStore(folder / "store")
    census, gallery = Census(), Gallery(300)
    for number, text in enumerate(ATTACKS):
        pair = kept(BlobStore(objects), number, text, language="he" if number == 4 else "en")
        copy = refused(pair, f"copy {text[:150]}", Reason.NEAR_DUPLICATE, f"of {owner(pair)}")
        small = refused(pair, f"small {number}", Reason.TOO_SMALL, text[:500])
        for record in (pair, copy, small, died(text)):
            census.count(record)
            gallery.add(record, owner(pair))
    content = ReportContent(
        ATTACKS[0], ATTACKS[1], census.numbers(), gallery.cards(), ATTACKS[:3], {ATTACKS[0]: "1"}
    )

    def image(sha256: str) -> bytes:
        return objects.get(blob_key(sha256))

    path = folder / "report.html"
    path.write_text(render(content, image, "store").html, "utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_fits_the_window_whatever_its_texts_are(
    browser: Browser, report: Path, width: int, scheme: str
) -> None:
    faults: list[str] = []
    size = {"width": width, "height": 900}
    page = opened(browser, report, faults, viewport=size, color_scheme=scheme)

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert faults == []
    assert page.title() == f"{ATTACKS[0]} · Kaption report"
    assert page.locator("script").count() == 1
    assert page.locator("[onerror], [onload], [onmouseover]").count() == 0
    assert page.locator("a[href^=javascript]").count() == 0
    first = page.locator(".card img").first
    first.scroll_into_view_if_needed()
    page.wait_for_function("(it) => it.naturalWidth > 0", arg=first.element_handle())
    assert not _repeated_ids(page)
    # Screen readers tell a list of terms only where it has nothing but terms and descriptions
    assert page.locator("dl > :not(div, dt, dd), dl > div > :not(dt, dd)").count() == 0
    assert _smallest_words(page) >= 8
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/report-{width}-{scheme}.png", full_page=True)
    page.context.close()


def test_people_filter_by_outcome_kind_and_words_with_the_keyboard(
    browser: Browser, report: Path
) -> None:
    faults: list[str] = []
    page = opened(browser, report, faults)
    all_cards = page.locator(".card").count()
    told = page.get_by_role("status")
    assert told.text_content() == f"{all_cards} of {all_cards} pairs shown"

    page.get_by_label("Outcome").focus()
    page.keyboard.type("ingest: too")
    assert told.text_content() == f"10 of {all_cards} pairs shown"
    page.get_by_role("button", name="Show all").press("Enter")
    page.get_by_label("Kind of the best text").select_option("vlm")
    page.get_by_label("Words").fill("RIGHT to left")
    assert told.text_content() == f"1 of {all_cards} pairs shown"
    assert page.locator(".card:visible").count() == 1
    page.locator("a[data-outcome='ingest.near_duplicate']").press("Enter")
    assert told.text_content() == f"10 of {all_cards} pairs shown"
    assert faults == []
    page.context.close()


def test_all_pairs_are_shown_without_script(browser: Browser, report: Path) -> None:
    page = opened(browser, report, [], java_script_enabled=False)
    assert page.locator(".card").count() == page.locator(".card:visible").count() > 30
    assert not page.get_by_label("Outcome").is_visible()
    page.context.close()


def _smallest_words(page: Page) -> float:
    """Size in pixels of the smallest words in the drawings that are shown."""
    words = page.locator("svg text:visible")
    assert words.count() > 10
    sizes: list[float] = words.evaluate_all(
        "(all) => all.map((it) => parseFloat(getComputedStyle(it).fontSize)"
        " * it.ownerSVGElement.getScreenCTM().a)"
    )
    return min(sizes)


def _repeated_ids(page: Page) -> list[str]:
    ids: list[str] = page.evaluate("[...document.querySelectorAll('[id]')].map((it) => it.id)")
    return [each for each in set(ids) if ids.count(each) > 1]
