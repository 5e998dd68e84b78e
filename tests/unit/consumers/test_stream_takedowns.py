"""`Takedowns` covers the same pairs as `Takedown.covers` of the contract."""

import pytest

from kaption.connections.errors import Fatal
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset.takedowns import Takedowns
from kaption.schemas import CleanPair, Takedown, TakedownKind
from support.sink_records import now, stored
from support.stream_records import take_down

PAGES = (
    None,
    "https://example.org/page",
    "https://www.Example.org:8080/page",
    "https://deep.www.example.org./page",
    "https://badexample.org/page",
    "https://a..example.org/",
    "https://[broken/page",
    "no url",
)
RULES = [
    (TakedownKind.PAIR, "pair-0"),
    (TakedownKind.PAIR, "pair"),
    (TakedownKind.URL, "https://example.org/page"),
    (TakedownKind.URL, "https://example.org/"),
    (TakedownKind.SHA256, "0" * 64),
    (TakedownKind.DOMAIN, "example.org"),
    (TakedownKind.DOMAIN, "WWW.example.org."),
    (TakedownKind.DOMAIN, "org"),
    (TakedownKind.DOMAIN, "ample.org"),
]


def pairs(objects) -> list[CleanPair]:
    return [stored(BlobStore(objects), 0, page_url=page).record for page in PAGES]


@pytest.mark.parametrize(("kind", "value"), RULES)
def test_each_rule_covers_what_the_takedown_covers(objects, kind, value):
    take_down(objects, kind, value)
    takedowns = Takedowns(objects, "dataset")
    rule = Takedown(kind=kind, value=value, requested_at=now())
    for pair in pairs(objects):
        assert takedowns.covers(pair) == rule.covers(pair), pair.page_url


@pytest.mark.parametrize("sha256", ["stored", "delivered"])
def test_an_image_is_covered_by_its_stored_and_its_delivered_sha256(objects, sha256):
    pair = pairs(objects)[0]
    image = pair.image.model_copy(update={"original_sha256": "a" * 64})
    value = pair.image.blob.sha256 if sha256 == "stored" else "a" * 64
    take_down(objects, TakedownKind.SHA256, value)
    assert Takedowns(objects, "dataset").covers(pair.model_copy(update={"image": image}))


def test_takedowns_are_listed_again_when_they_are_due(objects):
    # Given a reader that looked when there was no takedown
    times = iter([0.0, 0.0, 0.0, 59.0, 60.0, 60.0])
    takedowns = Takedowns(objects, "dataset", every_s=60, clock=lambda: next(times))
    pair = pairs(objects)[0]
    assert not takedowns.covers(pair)

    # When one comes / Then it holds from the next look on
    take_down(objects, TakedownKind.PAIR, "pair-0")
    assert not takedowns.covers(pair)
    assert takedowns.covers(pair)


def test_a_deleted_takedown_no_longer_holds(objects):
    take_down(objects, TakedownKind.PAIR, "pair-0")
    takedowns = Takedowns(objects, "dataset", every_s=0)
    assert takedowns.covers(pairs(objects)[0])
    (key,) = objects.list("dataset/takedown/")
    objects.delete(key)
    assert not takedowns.covers(pairs(objects)[0])


def test_a_takedown_that_cannot_be_parsed_is_an_error(objects):
    objects.put("dataset/takedown/x.json", b"{}")
    with pytest.raises(Fatal, match=r"takedown/x\.json is not a valid Takedown"):
        Takedowns(objects, "dataset").covers(pairs(objects)[0])
