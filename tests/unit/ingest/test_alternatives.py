"""An image with several addresses: ingest takes the first that gives a usable image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from kaption.schemas import ImageSource, RawPair, Reason, Takedown, TakedownKind
from kaption.schemas.lenient import read_raw_pair
from kaption.schemas.takedown import rules_for
from kaption.workers.demo.site import SILENT_S, Page, Site
from kaption.workers.fetch.target import server_of
from kaption.workers.policy.ingest import FetchPolicy
from kaption.workers.runtime.stage import Incoming, Later
from support.hostile_web import HostileWeb
from support.ingest_bench import Bench, emitted, image_bytes, message, reasons
from support.owners import OwnersWeb, Said, plain

pytestmark = pytest.mark.slow

IMAGE = Page(image_bytes(1), "image/png")
FETCH = FetchPolicy(
    allow_networks=("127.0.0.0/8",), total_timeout_s=4.0, attempts=1, max_bytes=1_000_000
)
UNUSABLE = {
    "error page": Page(b"<html>Not found</html>", "text/html"),
    "cut off": Page(image_bytes(2)[:900], "image/png"),
    "pixel": Page(image_bytes(3, size=8), "image/png"),
    "too large": Page(bytes(2_000_000), "image/png"),
}


class Pages(dict[str, Page]):
    """Pages that note which images were asked for."""

    asked: list[str]

    def get(self, path: str, default: Any = None) -> Any:
        if path.endswith(".png"):
            self.asked.append(path)
        return super().get(path, default)


@pytest.fixture
def bench(bench: Bench) -> Bench:
    bench.policy = bench.policy.model_copy(update={"fetch": FETCH})
    return bench


@pytest.fixture
def pages() -> Pages:
    made = Pages()
    made.asked = []
    return made


@pytest.fixture
def site(pages: Pages) -> Iterator[Site]:
    with Site(pages) as made:
        yield made


def record(site: Site, *paths: str) -> Incoming[RawPair]:
    first, *others = (each if "://" in each else site.url + each for each in paths)
    return message(ImageSource(url=first, alternatives=tuple(others)), 0, "A red vase on a table")


@pytest.mark.parametrize("page", [None, *UNUSABLE.values()], ids=["missing", *UNUSABLE])
def test_an_alternative_takes_the_place_of_an_unusable_image(
    bench: Bench, pages: Pages, site: Site, page: Page | None
) -> None:
    pages |= {"/small.png": IMAGE} | ({"/large.png": page} if page else {})

    (outcome,) = bench.run(record(site, "/large.png", "/middle.png", "/small.png"))

    image = emitted(outcome).image
    assert image.url == f"{site.url}/small.png"
    assert image.crawled_url == f"{site.url}/large.png"
    assert pages.asked == ["/large.png", "/middle.png", "/small.png"]


@pytest.mark.parametrize("first", ["ftp://example.org/a.png", "http://10.0.0.1/a.png"])
def test_an_alternative_takes_the_place_of_a_refused_address(
    bench: Bench, pages: Pages, site: Site, first: str
) -> None:
    pages["/small.png"] = IMAGE

    (outcome,) = bench.run(record(site, first, "/small.png"))

    assert emitted(outcome).image.url == f"{site.url}/small.png"


def test_alternatives_of_a_usable_image_are_not_fetched(
    bench: Bench, pages: Pages, site: Site
) -> None:
    pages |= {"/large.png": IMAGE, "/small.png": IMAGE}

    (outcome,) = bench.run(record(site, "/large.png", "/small.png"))

    assert emitted(outcome).image.crawled_url is None
    assert pages.asked == ["/large.png"]


def test_the_first_address_gives_the_reason_when_no_address_gives_an_image(
    bench: Bench, pages: Pages, site: Site
) -> None:
    pages["/small.png"] = UNUSABLE["error page"]

    outcomes = bench.run(record(site, "/large.png", "/small.png"))

    assert reasons(outcomes) == [Reason.FETCH_STATUS]


def test_a_silent_server_is_not_asked_for_alternatives(
    bench: Bench, pages: Pages, site: Site
) -> None:
    pages |= {"/large.png": Page(b"", "image/png", delay_s=SILENT_S), "/small.png": IMAGE}

    outcomes = bench.run(record(site, "/large.png", "/small.png"))

    assert reasons(outcomes) == [Reason.FETCH_TIMEOUT]
    assert pages.asked == ["/large.png"]


def test_a_redelivered_record_keeps_the_alternative_that_it_got(
    bench: Bench, pages: Pages, site: Site
) -> None:
    # Given a record whose second address gave the image
    pages["/small.png"] = IMAGE
    given = record(site, "/large.png", "/small.png")
    (first,) = bench.run(given)

    # When it comes again, and its first address works meanwhile
    pages["/large.png"] = Page(image_bytes(5), "image/png")
    (again,) = bench.run(given)

    assert emitted(again).image == emitted(first).image


def test_a_takedown_of_an_alternative_covers_the_record(site: Site) -> None:
    takedown = Takedown(
        kind=TakedownKind.URL, value=f"{site.url}/small.png", requested_at=datetime.now(UTC)
    )

    rules = list(rules_for(record(site, "/large.png", "/small.png").record))

    assert (takedown.kind, takedown.value) in rules


def test_a_reservation_at_an_alternative_refuses_the_record(
    bench: Bench, pages: Pages, site: Site
) -> None:
    # Given a first address that is gone, and an alternative that is reserved
    pages["/free.png"] = IMAGE
    with OwnersWeb() as owner:
        owner.answers["/no.jpg"] = Said(plain("JPEG"), headers={"X-Robots-Tag": "noai"})

        (outcome,) = bench.run(record(site, "/gone.png", f"{owner.url}/no.jpg", "/free.png"))

    # Then the record is refused, and its other alternatives are not asked
    assert str(outcome) == f"opted_out: x_robots_tag noai at {owner.url}/no.jpg"
    assert pages.asked == ["/gone.png"]


def test_another_server_is_asked_in_its_own_lane(bench: Bench, pages: Pages, site: Site) -> None:
    # Given a record with addresses on two servers
    pages["/c.png"] = IMAGE
    with OwnersWeb() as other:
        given = record(site, "/a.png", f"{other.url}/b.png", "/c.png")
        stage, lanes = bench.stage(), []
        # When it is prepared as often as it asks for it
        for _ in range(2):
            with pytest.raises(Later) as later:
                stage.prepare(given)
            lanes.append((later.value.lane, later.value.after_s))
        arrived = stage.prepare(given).arrived

    # Then each was asked once, in the lane of its server
    assert lanes == [(server_of(other.url), 0.0), (server_of(site.url), 0.0)]
    assert pages.asked == ["/a.png", "/c.png"]
    assert other.requests == {"/b.png": 1}
    assert arrived.image.url == f"{site.url}/c.png"


def test_another_server_is_asked_after_one_that_is_silent(
    bench: Bench, pages: Pages, site: Site
) -> None:
    pages["/b.png"] = IMAGE
    with closing(HostileWeb()) as silent:
        urls = [silent.url(f"slow-headers/{n}") for n in (0, 1)]

        (outcome,) = bench.run(record(site, urls[0], "/b.png", urls[1]))
        other = message(record(site, urls[0], "/none.png", urls[1]).record.image, 1, "A red vase")
        refused = bench.run(other)

    assert emitted(outcome).image.url == f"{site.url}/b.png"
    assert reasons(refused) == [Reason.FETCH_TIMEOUT]
    assert silent.requests.total() == 2


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["//cdn.example/b.jpg", "/c.jpg"], ["https://cdn.example/b.jpg", "https://e.org/c.jpg"]),
        ([" https://e.org/b.jpg\n", 7, None, "", "mailto:x", "b.jpg"], ["https://e.org/b.jpg"]),
        (["https://e.org/" + "x" * 9_000], []),
        (
            [f"https://e.org/{n}.jpg" for n in range(9)],
            [f"https://e.org/{n}.jpg" for n in range(4)],
        ),
        ("https://e.org/b.jpg", []),
        (None, []),
        ({"a": 1}, []),
    ],
)
def test_alternatives_that_are_not_understood_do_not_cost_the_record(
    given: object, kept: list[str]
) -> None:
    fields = {
        "pair_id": "a",
        "text": "t",
        "page_url": "https://e.org/",
        "image": {"url": "https://e.org/a.jpg", "alternatives": given},
    }

    image = read_raw_pair(fields).image

    assert (image.url, list(image.alternatives)) == ("https://e.org/a.jpg", kept)
