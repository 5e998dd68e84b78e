"""The ingest stage with real stores, a real decoder and a real fetcher."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from kaption.connections.errors import Retry
from kaption.objectstore.blobs import BlobStore
from kaption.schemas import BlobRef, ImageSource, OptOutSignal, Position, RawPair, Reason
from kaption.workers.demo.site import FETCH, Page, Site
from kaption.workers.policy.ingest import DedupPolicy, IngestPolicy
from kaption.workers.runtime.stage import Emit, Incoming, Reject
from support.ingest_bench import TEXT, Bench, emitted, image_bytes, linked, message, raw, reasons


def test_a_new_pair_is_cleaned_stored_and_traced(bench: Bench) -> None:
    data = image_bytes(1, size=800)

    (outcome,) = bench.run(raw(data, 7, "<b>Pic</b> of a red vase &amp; a cat"))

    pair = emitted(outcome)
    assert pair.clean_text == "Picture of a red vase & a cat"
    assert pair.text == "<b>Pic</b> of a red vase &amp; a cat"
    assert set(pair.text_notes) == {"html", "slang"}
    assert (pair.image.original_width, pair.image.original_height) == (800, 600)
    assert (pair.image.width, pair.image.height) == (512, 384)
    assert pair.image.original_bytes == len(data)
    assert len(bench.blobs.get(pair.image.blob)) == pair.image.blob.bytes
    assert pair.dedup.owner == "pairs.raw/0/7"
    assert [trace.stage for trace in pair.provenance.stages] == ["ingest"]


def test_a_redelivered_batch_has_the_same_outcomes(bench: Bench) -> None:
    same = image_bytes(1)
    batch = [raw(same, 0), raw(image_bytes(2), 1), raw(same, 2), raw(image_bytes(2, crop=0.01), 3)]

    first = bench.run(*batch)
    # After a crash between claim and commit: other batches of the same records, the same stores.
    again = [*bench.run(*batch[2:]), *bench.run(*batch[:2])]

    assert reasons(first) == [None, None, Reason.DUPLICATE, Reason.NEAR_DUPLICATE]
    assert reasons([*again[2:], *again[:2]]) == reasons(first)
    assert emitted(again[2]).image == emitted(first[0]).image


@pytest.mark.parametrize("order", [(5, 9), (9, 5)])
def test_of_two_origins_with_one_image_the_first_to_claim_owns_it(
    bench: Bench, order: tuple[int, int]
) -> None:
    data = image_bytes(3)

    (first,), (second,) = (bench.run(raw(data, offset)) for offset in order)

    assert emitted(first).dedup.owner == f"pairs.raw/0/{order[0]}"
    assert isinstance(second, Reject)
    assert second.reason is Reason.DUPLICATE
    assert f"pairs.raw/0/{order[0]}" in second.detail


@pytest.mark.parametrize(
    "copy",
    [
        {"kind": "JPEG"},
        {"size": 200},
        {"crop": 0.01},
        {"kind": "WEBP", "size": 300},
    ],
)
def test_altered_copies_are_near_duplicates(bench: Bench, copy: dict[str, object]) -> None:
    original, altered = raw(image_bytes(4), 0), raw(image_bytes(4, **copy), 1)  # type: ignore[arg-type]  # per case

    outcomes = bench.run(original, altered)

    assert reasons(outcomes) == [None, Reason.NEAR_DUPLICATE]


def test_different_images_are_kept(bench: Bench) -> None:
    outcomes = bench.run(*(raw(image_bytes(seed), seed) for seed in range(10, 16)))

    assert reasons(outcomes) == [None] * 6


def test_two_workers_racing_over_the_same_images_agree_on_the_owners(bench: Bench) -> None:
    images = [image_bytes(seed) for seed in range(40, 48)]
    ours = [raw(data, offset) for offset, data in enumerate(images)]
    copies = [raw(image_bytes(40 + k, crop=0.01), 100 + k) for k in range(4)]
    theirs = [raw(data, 200 + k) for k, data in reversed(list(enumerate(images)))]

    with ThreadPoolExecutor(3) as pool:
        a, b, c = pool.map(lambda batch: bench.run(*batch), (ours, copies, theirs))

    messages, outcomes = [*ours, *copies, *theirs], [*a, *b, *c]
    assert sum(isinstance(outcome, Emit) for outcome in outcomes) == len(images)
    by_origin = {str(m.origin): one for m, one in zip(messages, outcomes, strict=True)}
    for outcome in outcomes:
        # A duplicate's owner may itself be a near-duplicate of a pair that came out.
        steps = 0
        while isinstance(outcome, Reject):
            outcome = by_origin[outcome.detail.removeprefix("of ")]
            steps += 1
        assert steps <= 2
    assert reasons(bench.run(*messages)) == reasons(outcomes)


def test_a_fetched_image_keeps_its_final_url(bench: Bench) -> None:
    with Site({"/a.png": Page(image_bytes(9), "image/png")}) as site:
        outcomes = bench.run(linked(f"{site.url}/a.png#top", 0), linked(f"{site.url}/gone.png", 1))

        assert emitted(outcomes[0]).image.url == f"{site.url}/a.png"
        assert reasons(outcomes) == [None, Reason.FETCH_STATUS]


def test_a_record_that_is_rejected_before_its_claims_claims_nothing(bench: Bench) -> None:
    data = image_bytes(5)
    refusing = bench.stage(policy=IngestPolicy(text=TEXT.model_copy(update={"languages": ("de",)})))
    english = raw(data, 0, "A large striped red circle and a small plain blue star on a road")

    refused = bench.run(english, stage=refusing)
    kept = bench.run(raw(data, 1, english.record.text))

    assert reasons(refused) == [Reason.LANGUAGE_REFUSED]
    assert reasons(kept) == [None]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<html>404</html>", Reason.NOT_AN_IMAGE),
        (image_bytes(6, size=40), Reason.TOO_SMALL),
        (image_bytes(6, kind="JPEG")[:2000], Reason.TRUNCATED),
    ],
)
def test_bad_images_are_rejected_with_their_reason(
    bench: Bench, data: bytes, reason: Reason
) -> None:
    assert reasons(bench.run(raw(data, 0))) == [reason]


def test_opted_out_pairs_are_rejected_without_reading_the_image(bench: Bench) -> None:
    message = raw(b"never decoded", 0)
    signal = OptOutSignal(kind="robots_meta", value="noai")
    record = message.record.model_copy(update={"opt_out": (signal,)})

    outcomes = bench.run(Incoming(record, message.origin, message.position))

    assert reasons(outcomes) == [Reason.OPTED_OUT]


def test_a_blob_reference_is_read_and_a_missing_blob_is_a_rejection(bench: Bench) -> None:
    ref = bench.blobs.put(image_bytes(7), "image/png")
    gone = BlobRef(sha256="0" * 64, bytes=10)
    origins = [Position("pairs.raw", 1, offset) for offset in (0, 1)]
    messages = [
        Incoming(
            RawPair.model_validate({"pair_id": "p", "text": "", "image": {"blob": blob}}),
            origin,
            origin,
        )
        for blob, origin in zip((ref, gone), origins, strict=True)
    ]

    outcomes = bench.run(*messages)

    assert reasons(outcomes) == [None, Reason.BLOB_MISSING]
    assert emitted(outcomes[0]).text_notes == ("empty",)


@pytest.mark.parametrize("said", [10, 30_000])
def test_a_blob_is_too_large_by_its_reference_or_by_its_bytes(bench: Bench, said: int) -> None:
    policy = IngestPolicy(text=TEXT, fetch=FETCH.model_copy(update={"max_bytes": 20_000}))
    ref = bench.blobs.put(image_bytes(7), "image/png")
    source = ImageSource(blob=ref.model_copy(update={"bytes": said}))

    (outcome,) = bench.run(message(source, 0, "A red vase"), stage=bench.stage(policy=policy))

    assert str(outcome) == f"too_large: blob of {max(said, ref.bytes)} bytes"


def test_a_text_of_too_many_images_is_dropped(bench: Bench) -> None:
    policy = IngestPolicy(text=TEXT, dedup=DedupPolicy(text_uses=2))
    messages = [raw(image_bytes(seed), seed, "My holiday in Sweden") for seed in range(20, 23)]

    outcomes = bench.run(*messages, stage=bench.stage(policy=policy))

    pairs = [emitted(outcome) for outcome in outcomes]
    assert [pair.clean_text for pair in pairs] == ["My holiday in Sweden"] * 2 + [""]
    assert [pair.dedup.text_uses for pair in pairs] == [1, 2, 3]
    assert pairs[2].text_notes == ("repeated",)


def test_a_batch_is_complete_after_the_blob_store_was_down(bench: Bench) -> None:
    class DownOnce(BlobStore):
        down = True

        def put(self, data: bytes, media_type: str) -> BlobRef:
            if self.down:
                raise Retry("store is down")
            return super().put(data, media_type)

    blobs = DownOnce(bench.blobs._objects)
    stage = bench.stage(blobs)
    messages = [raw(image_bytes(seed), seed) for seed in (30, 31)]
    with pytest.raises(Retry):
        bench.run(*messages, stage=stage)
    blobs.down = False

    outcomes = bench.run(*messages, stage=stage)

    assert reasons(outcomes) == [None, None]
    assert all(blobs.get(emitted(outcome).image.blob) for outcome in outcomes)
