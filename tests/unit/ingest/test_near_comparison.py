"""Ingest compares images that look alike with the stored ones."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench.near_images import memes, photographs
from kaption.connections.errors import Retry
from kaption.objectstore.blobs import BlobStore
from kaption.schemas import BlobRef, Reason
from kaption.workers.runtime.stage import Reject
from support.ingest_bench import Bench, emitted, raw, reasons
from support.photographs import saved

pytestmark = pytest.mark.slow


class Counting:
    """A blob store that counts what it reads, and may be away."""

    def __init__(self, blobs: BlobStore) -> None:
        self.blobs, self.read, self.away = blobs, list[str](), False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.blobs, name)

    def get(self, ref: BlobRef) -> bytes:
        if self.away:
            raise Retry("the store is away")
        self.read.append(ref.sha256)
        return self.blobs.get(ref)


@pytest.fixture
def store(bench: Bench) -> Any:
    return Counting(bench.blobs)


def two_memes() -> list[Image.Image]:
    """One photograph with two captions."""
    drawn = list(memes(24, 5))[1::2]
    hashes = [image.crop((0, 130, 480, 520)).tobytes() for image in drawn]
    first = next(at for at, pixels in enumerate(hashes) if hashes.count(pixels) > 1)
    return [drawn[first], drawn[hashes.index(hashes[first], first + 1)]]


def jpeg(image: Image.Image, quality: int) -> bytes:
    return saved(image, "JPEG", quality=quality)


def test_other_words_on_one_photograph_are_kept_and_a_copy_is_refused(bench: Bench) -> None:
    # Given two memes of one photograph, and a poor copy of the second
    one, other = two_memes()
    records = [raw(jpeg(one, 95), 1), raw(jpeg(other, 95), 2), raw(jpeg(other, 40), 3)]

    # When they come in one batch, and again one by one as after a crash
    outcomes = bench.run(*records)
    again = [bench.run(record)[0] for record in records]

    # Then only the copy is refused, each time for the same image
    assert reasons(outcomes) == [None, None, Reason.NEAR_DUPLICATE] == reasons(again)
    assert isinstance(outcomes[2], Reject)
    assert isinstance(again[2], Reject)
    assert outcomes[2].detail == again[2].detail == f"of {records[1].origin}"


def test_only_images_that_may_be_copies_are_read(bench: Bench, store: Any) -> None:
    # Given ten different photographs
    images = list(photographs(10, 1))
    bench.run(*(raw(jpeg(image, 95), at) for at, image in enumerate(images)))
    stage = bench.stage(blobs=store)

    # When ten others and a copy of the first come in
    others = [raw(jpeg(image, 95), 20 + at) for at, image in enumerate(photographs(10, 2))]
    assert reasons(bench.run(*others, stage=stage)) == [None] * 10
    assert store.read == []
    outcomes = bench.run(raw(jpeg(images[0], 50), 40), stage=stage)

    # Then one image is read
    assert reasons(outcomes) == [Reason.NEAR_DUPLICATE]
    assert len(store.read) == 1


def test_a_store_that_is_away_leaves_the_record_open(bench: Bench, store: Any) -> None:
    # Given a kept image, and a store that fails while its copy is compared
    (image,) = photographs(1, 1)
    bench.run(raw(jpeg(image, 95), 1))
    stage, copy = bench.stage(blobs=store), raw(jpeg(image, 50), 2)
    store.away = True
    with pytest.raises(Retry, match="the store is away"):
        bench.run(copy, stage=stage)

    # When the store is back / Then the record gets the answer that it should have had
    store.away = False
    assert reasons(bench.run(copy, stage=stage)) == [Reason.NEAR_DUPLICATE]


@pytest.mark.parametrize("damaged", [False, True])
def test_an_image_that_is_gone_is_judged_by_its_sketch(
    bench: Bench, tmp_path: Path, damaged: bool
) -> None:
    # Given a kept image whose blob is gone or damaged
    one, other = photographs(2, 1)
    (kept,) = bench.run(raw(jpeg(one, 95), 1))
    key = emitted(kept).image.blob.sha256
    (path,) = tmp_path.rglob(key)
    path.write_bytes(b"damaged") if damaged else path.unlink()

    # When / Then a close copy is refused and another image is kept
    records = [raw(jpeg(one, 90), 2), raw(jpeg(other, 90), 3)]
    assert reasons(bench.run(*records)) == [Reason.NEAR_DUPLICATE, None]


def test_a_stored_image_is_compared_as_it_was_stored(bench: Bench, store: Any) -> None:
    # Given a large image, whose stored image is smaller
    (image,) = photographs(1, 1)
    large = image.resize((image.width * 6, image.height * 6))
    bench.run(raw(jpeg(large, 90), 1))

    # When / Then a small copy of it is refused
    outcomes = bench.run(raw(jpeg(image, 90), 2), stage=bench.stage(blobs=store))
    assert reasons(outcomes) == [Reason.NEAR_DUPLICATE]
    (read,) = store.read
    assert Image.open(BytesIO(bench.blobs.get(BlobRef(sha256=read, bytes=0)))).width == 512
