"""Ingest rejects pairs that are taken down: before the fetch if possible, else before storing."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
import redis

from kaption.objectstore.dataset.takedowns import add_takedown
from kaption.objectstore.folder import FolderStore
from kaption.schemas import BlobRef, ImageSource, Reason, Takedown, TakedownKind
from kaption.workers.demo.site import Page, Site
from kaption.workers.runtime.stage import Reject
from support.hostile_web import HostileWeb
from support.ingest_bench import Bench, emitted, image_bytes, linked, message, raw, reasons

GONE = image_bytes(60)


def take_down(bench: Bench, folder: Path, kind: TakedownKind, value: str) -> None:
    takedown = Takedown(kind=kind, value=value, requested_at=datetime.now(UTC))
    add_takedown(FolderStore(folder), "dataset", takedown)
    bench.takedowns.add([takedown.takedown_id])


def blobs_in(folder: Path) -> list[Path]:
    return [path for path in (folder / "blobs").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (TakedownKind.PAIR, "pair-0"),
        (TakedownKind.URL, "https://CDN.Example.org/a.jpg#top"),
        (TakedownKind.URL, "https://example.net/page"),
        (TakedownKind.URL, "https:\\\\me@cdn.ex%61mple.org.:443\\x\\..\\a.jpg"),
        (TakedownKind.DOMAIN, "example.org"),
        (TakedownKind.DOMAIN, "example.net"),
        (TakedownKind.SHA256, "0" * 64),
    ],
)
def test_a_takedown_that_covers_the_crawlers_fields_rejects_before_the_fetch(
    bench: Bench, tmp_path: Path, kind: TakedownKind, value: str
) -> None:
    # Given a takedown, and an image that cannot be fetched
    image = ImageSource(url="https://cdn.example.org/a.jpg")
    if kind is TakedownKind.SHA256:
        image = ImageSource(blob=BlobRef(sha256=value, bytes=1))
    given = message(image, 0, "")
    record = given.record.model_copy(update={"page_url": "https://example.net/page"})
    take_down(bench, tmp_path, kind, value)

    # When / Then
    with pytest.raises(Reject) as refused:
        bench.stage().prepare(replace(given, record=record))
    assert refused.value.reason is Reason.TAKEN_DOWN


@pytest.mark.parametrize("which", ["delivered", "stored"])
def test_a_takedown_covers_an_images_bytes_as_delivered_and_as_stored(
    bench: Bench, redis_url: str, tmp_path: Path, which: str
) -> None:
    # Given an image whose bytes are taken down
    stored = emitted(bench.run(raw(GONE, 0))[0]).image.blob.sha256
    delivered = hashlib.sha256(GONE).hexdigest()
    for path in blobs_in(tmp_path):
        path.unlink()
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    value = delivered if which == "delivered" else stored
    take_down(bench, tmp_path, TakedownKind.SHA256, value)

    # When it arrives again, inline and behind a URL, together with another image
    with Site({"/a.png": Page(GONE, "image/png")}) as site:
        outcomes = bench.run(raw(GONE, 1), linked(f"{site.url}/a.png", 2), raw(image_bytes(61), 3))

    # Then it is rejected, and nothing of it is stored, claimed or remembered
    assert reasons(outcomes) == [Reason.TAKEN_DOWN, Reason.TAKEN_DOWN, None]
    assert len(blobs_in(tmp_path)) == 1
    with redis.Redis.from_url(redis_url) as client:
        assert len(list(client.scan_iter(match="*exact:n*"))) == 1
        assert delivered not in repr([client.dump(key) for key in client.scan_iter()])


def test_a_takedown_covers_the_url_after_redirects(bench: Bench, tmp_path: Path) -> None:
    # Given a URL that redirects to another one
    web = HostileWeb()
    with Site({"/a.png": Page(GONE, "image/png")}) as site:
        there = f"{site.url}/a.png"
        crawled = web.url(f"to/{quote(there, safe='')}")
        image = emitted(bench.run(linked(crawled, 0))[0]).image
        assert (image.url, image.crawled_url) == (there, crawled)

        # When that other URL is taken down / Then the redirecting one is rejected
        take_down(bench, tmp_path, TakedownKind.URL, there)
        assert reasons(bench.run(linked(crawled, 1))) == [Reason.TAKEN_DOWN]
    web.close()


def test_a_takedown_covers_a_claimed_image_that_is_delivered_again(
    bench: Bench, tmp_path: Path
) -> None:
    # Given a worker that died between claim and commit, and a takedown after that
    with Site({"/a.png": Page(GONE, "image/png")}) as site:
        assert reasons(bench.run(linked(f"{site.url}/a.png", 0))) == [None]
        sha256 = hashlib.sha256(GONE).hexdigest()
        take_down(bench, tmp_path, TakedownKind.SHA256, sha256)

        # When / Then
        assert reasons(bench.run(linked(f"{site.url}/a.png", 0))) == [Reason.TAKEN_DOWN]
