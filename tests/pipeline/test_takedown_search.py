"""The search finds what takedowns cover in the topics, and keeps images that others need."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka import KafkaProducer

from kaption.connections.settings import KafkaConnection
from kaption.objectstore import BlobStore
from kaption.objectstore.folder import FolderStore
from kaption.schemas import (
    BlobRef,
    Caption,
    CaptionKind,
    ImageSource,
    Pair,
    RawPair,
    Reason,
    RejectedPair,
    Takedown,
    TakedownKind,
    TextSource,
    Topic,
    Versioned,
    encode,
    headers_of,
)
from kaption.schemas.topics import CLEAN, INGESTED, REJECTED
from kaption.workers.local import Tansu
from kaption.workers.stores.footprint import Footprint
from kaption.workers.takedown.search import SearchResult, search
from support.model_stages import NOW, FolderBlobs, ingested
from support.model_stages import stored as stored_blob
from support.sink_records import stored
from support.topics import with_topics

Send = Callable[[Topic, str, Versioned | None], None]


@pytest.fixture
def kafka(tansu: Tansu, topic_prefix: str) -> KafkaConnection:
    return with_topics(tansu.bootstrap, topic_prefix)


@pytest.fixture
def send(kafka: KafkaConnection) -> Iterator[Send]:
    """Give what sends a record, or a tombstone, under a key to partition 1."""
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)

    def send(topic: Topic, key: str, record: Versioned | None) -> None:
        value, headers = (encode(record), headers_of(record)) if record else (None, [])
        name = kafka.topic_prefix + topic.name
        producer.send(name, value, key=key.encode(), headers=headers, partition=1)
        producer.flush()

    yield send
    producer.close()


def find(kafka: KafkaConnection, kind: TakedownKind, value: str) -> SearchResult:
    return search(kafka, [Takedown(kind=kind, value=value, requested_at=NOW)])


def refused_images(found: SearchResult) -> set[str]:
    assert {each.kind for each in found.remains.images} <= {TakedownKind.SHA256}
    return {each.value for each in found.remains.images}


def refused(record: Pair) -> RejectedPair:
    return RejectedPair(
        pair_id=record.pair_id,
        stage="any",
        reason=Reason.LOW_ALIGNMENT,
        rejected_at=NOW,
        record_schema=record.schema_name(),
        record=record.model_dump(mode="json", exclude_defaults=True),
    )


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (TakedownKind.DOMAIN, "BÜCHER。example."),
        (TakedownKind.URL, "https:\\\\bücher.example:443\\ä.jpg#top"),
    ],
)
def test_pairs_are_found_by_any_spelling_of_their_addresses(
    kafka: KafkaConnection, send: Send, tmp_path: Path, kind: TakedownKind, value: str
) -> None:
    # Given pairs whose page, image, redirecting address or noted image is one address, and another
    url = "HTTPS://me@xn--bcher-kva.example./x/../%c3%a4.jpg"
    blobs = FolderBlobs(tmp_path)
    pairs = [ingested(stored_blob(blobs, seed), "text", f"pair-{seed}") for seed in range(5)]
    told: list[dict[str, object]] = [
        {"url": url},
        {"url": "https://a.test/", "crawled_url": url},
        {"url": None},
        {},
        {},
    ]
    others: list[dict[str, object]] = [
        {},
        {},
        {"extra": {"image_url": url}},
        {"page_url": url},
        {"page_url": url[:-11]},
    ]
    for pair, image, changes in zip(pairs, told, others, strict=True):
        changes["image"] = pair.image.model_copy(update=image)
        send(INGESTED, pair.pair_id, pair.model_copy(update=changes))
    # When / Then
    covered = pairs if kind is TakedownKind.DOMAIN else pairs[:4]
    found = find(kafka, kind, value).remains.footprints
    assert set(found) == {Footprint.of(pair) for pair in covered}


def test_pairs_between_the_stages_and_rejected_pairs_are_found(
    kafka: KafkaConnection, send: Send, tmp_path: Path
) -> None:
    # Given one pair in pairs.ingested, one that a later stage refused, and one with a large image
    # of its own in the store that ingest refused
    blobs = FolderBlobs(tmp_path)
    pairs = [
        ingested(stored_blob(blobs, seed), "text", f"pair-{seed}").model_copy(
            update={"page_url": "https://a.example.org/"}
        )
        for seed in range(2)
    ]
    large = RawPair(
        pair_id="large",
        text="",
        page_url="https://b.example.org/",
        image=ImageSource(blob=BlobRef(sha256="f" * 64, bytes=9)),
    )
    send(INGESTED, "pair-0", pairs[0])
    send(REJECTED, "pair-1", refused(pairs[1]))
    send(REJECTED, "large", refused(large))

    # When
    found = find(kafka, TakedownKind.DOMAIN, "example.org")

    # Then
    assert found.remains.pairs == ()
    assert set(found.remains.footprints) == {Footprint.of(pair) for pair in pairs}
    sha256s = {pair.image.blob.sha256 for pair in pairs}
    assert set(found.remains.blobs) == sha256s | {"f" * 64}
    assert refused_images(found) == set(found.remains.blobs)
    assert {each.picture_of for each in found.remains.images} == {
        Takedown(kind=TakedownKind.DOMAIN, value="example.org", requested_at=NOW).takedown_id
    }


def test_an_inline_image_is_found_by_the_address_in_its_record(
    kafka: KafkaConnection, send: Send, tmp_path: Path
) -> None:
    # Given
    blobs, url = BlobStore(FolderStore(tmp_path)), "https://example.org/cat.jpg"
    pair = stored(blobs, 0, extra={"image_url": url}).record
    send(CLEAN, pair.pair_id, pair)

    # When / Then
    for kind, value in ((TakedownKind.URL, url), (TakedownKind.DOMAIN, "example.org")):
        remains = find(kafka, kind, value).remains
        assert remains.pairs == ((1, pair.pair_id),)
        assert remains.blobs == (pair.image.blob.sha256,)


def test_only_pairs_whose_newest_message_is_covered_are_withdrawn_in_their_partition(
    kafka: KafkaConnection, send: Send, tmp_path: Path
) -> None:
    # Given pairs of which one was withdrawn, and one has a newer version from elsewhere
    blobs, page = BlobStore(FolderStore(tmp_path)), "https://example.org/"
    for number, name in enumerate(("stands", "withdrawn", "moved")):
        send(CLEAN, name, stored(blobs, number, pair_id=name, page_url=page).record)
    send(CLEAN, "withdrawn", None)
    send(CLEAN, "moved", stored(blobs, 3, pair_id="moved").record)
    send(INGESTED, "stands", None)

    # When
    found = find(kafka, TakedownKind.URL, page)

    # Then the first is to be withdrawn; images and samples there are of all three
    assert found.remains.pairs == ((1, "stands"),)
    assert [position.offset for position in found.versions] == [0, 1, 2]
    assert len(found.remains.blobs) == 3


def test_an_image_that_another_pair_needs_is_kept(
    kafka: KafkaConnection, send: Send, tmp_path: Path
) -> None:
    # Given two pairs with one stored image
    blobs = BlobStore(FolderStore(tmp_path))
    one, other = (stored(blobs, 0, pair_id=name).record for name in ("one", "other"))
    for pair in (one, other):
        send(CLEAN, pair.pair_id, pair)

    # When one is taken down / Then its claims are to be removed, but no image
    remains = find(kafka, TakedownKind.PAIR, "one").remains
    assert (remains.pairs, remains.blobs, remains.images) == (((1, "one"),), (), ())
    assert remains.footprints == (Footprint.of(one).model_copy(update={"sha256": None}),)

    # When the image is / Then it goes with both, and so does what is known of it alone
    sha256 = one.image.blob.sha256
    remains = find(kafka, TakedownKind.SHA256, sha256).remains
    assert (len(remains.pairs), remains.blobs, remains.images) == (2, (sha256,), ())
    assert Footprint(sha256=sha256, original_sha256=sha256) in remains.footprints


@pytest.mark.parametrize("same", ["delivered", "stored"])
def test_an_image_that_another_pair_also_has_is_not_refused(
    kafka: KafkaConnection, send: Send, tmp_path: Path, same: str
) -> None:
    # Given two pairs whose images are the same only as delivered, or only as stored
    blobs = BlobStore(FolderStore(tmp_path))
    one, other = (stored(blobs, number, pair_id=f"pair-{number}").record for number in range(2))
    kept = one.image.blob if same == "stored" else other.image.blob
    original = "d" * 64 if same == "delivered" else "e" * 64
    theirs = other.image.model_copy(update={"blob": kept, "original_sha256": original})
    mine = one.image.model_copy(update={"original_sha256": "d" * 64})
    one, other = (
        pair.model_copy(update={"image": image}) for pair, image in ((one, mine), (other, theirs))
    )
    for pair in (one, other):
        send(CLEAN, pair.pair_id, pair)
    own = {one.image.blob.sha256} if same == "delivered" else {"d" * 64}

    # When the first is taken down / Then of its image only what is its own is refused
    found = find(kafka, TakedownKind.PAIR, one.pair_id)
    assert refused_images(found) == set(found.remains.blobs) == own

    # When its image is, as it was delivered / Then what the other needs stays in the same way
    if same == "stored":
        assert find(kafka, TakedownKind.SHA256, "d" * 64).remains.blobs == ("d" * 64,)


def test_a_text_that_was_found_with_a_copy_of_an_image_is_withdrawn_without_the_image(
    kafka: KafkaConnection, send: Send, tmp_path: Path
) -> None:
    # Given a pair with a caption from a copy's page, and the rejection of that copy
    blobs, page = BlobStore(FolderStore(tmp_path)), "https://copy.example/page"
    copied = RawPair(
        pair_id="copy", text="a red vase", page_url=page, image=ImageSource(inline=b"bytes")
    )
    caption = Caption(
        text="a red vase",
        kind=CaptionKind.ORIGINAL,
        source=TextSource(pair_id="copy", page_url=page),
    )
    pair = stored(blobs, 0, pair_id="kept").record
    pair = pair.model_copy(update={"captions": (*pair.captions, caption)})
    rejected = refused(copied).model_copy(
        update={"reason": Reason.NEAR_DUPLICATE, "detail": f"of {pair.dedup.owner}"}
    )
    send(REJECTED, "copy", rejected)
    send(CLEAN, "kept", pair)

    # When / Then the pair is withdrawn; its image and claims stay; the remembered text goes
    for kind, value in ((TakedownKind.DOMAIN, "copy.example"), (TakedownKind.PAIR, "copy")):
        remains = find(kafka, kind, value).remains
        assert remains.pairs == ((1, "kept"),)
        assert (remains.blobs, remains.images) == ((), ())
        assert remains.footprints == (Footprint(copy_of=pair.dedup.owner, pair_id="copy"),)


def test_a_later_text_is_found_by_the_copy_that_brought_it(
    kafka: KafkaConnection, send: Send, tmp_path: Path
) -> None:
    # Given a pair that came through ingest once more because of a copy
    pair = ingested(stored_blob(FolderBlobs(tmp_path), 0), "text", "kept")
    source = TextSource(pair_id="copy", page_url="https://copy.example/page")
    send(INGESTED, "kept", pair)
    send(INGESTED, "kept", pair.model_copy(update={"brought_by": source}))

    # When / Then the remembered text goes, and the pair, its image and its claims stay
    remains = find(kafka, TakedownKind.DOMAIN, "copy.example").remains
    assert (remains.pairs, remains.blobs, remains.images) == ((), (), ())
    assert remains.footprints == (Footprint(copy_of=pair.dedup.owner, pair_id="copy"),)
