"""Text in images for the recaption stage: a real Redis, blobs in a folder and a counted reader."""

import pytest
import redis
from PIL import Image

from kaption.connections.errors import Fatal
from kaption.schemas import CaptionedPair, OcrText
from kaption.testing.records import scored_pair, store_image
from kaption.workers.captioners.rules import RulesCaptioner
from kaption.workers.models import ocr as engine
from kaption.workers.policy.recaption import RecaptionPolicy
from kaption.workers.runtime.stage import Emit
from kaption.workers.stages.image_text import IMAGES, ImageTexts
from kaption.workers.stages.recaption import RecaptionParts, RecaptionStage
from kaption.workers.stores.captions import CaptionCache
from kaption.workers.stores.footprint import Footprint
from kaption.workers.stores.ocr import OcrCache
from support.model_stages import NOW, FolderBlobs, message

SALE = OcrText(text="SALE 50 %", confidence=0.9, source="reader")


class Reader:
    """Reads the same lines in every image, or fails."""

    model = "reader"

    def __init__(self, *lines: OcrText, revision: str = "1", fails: bool = False) -> None:
        self.lines, self.revision, self.fails, self.calls = lines, revision, fails, 0

    def read(self, image: Image.Image) -> tuple[OcrText, ...]:
        self.calls += 1
        if self.fails:
            raise RuntimeError("the engine broke")
        return self.lines


def stage(blobs: FolderBlobs, redis_url: str, reader: Reader | None) -> RecaptionStage:
    client = redis.Redis.from_url(redis_url)
    made = RecaptionStage(
        RecaptionPolicy(captioners=("rules",)),
        RecaptionParts(
            blobs,
            CaptionCache(client, "t:"),
            lambda _: (RulesCaptioner(),),
            texts=ImageTexts(OcrCache(client, "t:"), lambda: reader) if reader else None,
        ),
        now=lambda: NOW,
    )
    made.setup()
    return made


def captioned(stage: RecaptionStage, blobs: FolderBlobs, *ocr: OcrText) -> CaptionedPair:
    image = store_image(blobs, 0)
    pair = scored_pair(0, clean_text="Shop", image=image, original=None, ocr=ocr)
    (outcome,) = stage.process([(message(pair), stage.prepare(message(pair)))])
    assert isinstance(outcome, Emit)
    ((_, record),) = outcome.outputs
    assert isinstance(record, CaptionedPair)
    return record


def test_text_in_the_image_feeds_captions_record_and_provenance(
    blobs: FolderBlobs, redis_url: str
) -> None:
    pair = captioned(stage(blobs, redis_url, Reader(SALE)), blobs)

    assert 'Shop, with the text "SALE 50 %"' in [each.text for each in pair.candidates]
    assert pair.ocr == (SALE,)
    assert pair.provenance.stages[-1].models == {"rules": RulesCaptioner.revision, "reader": "1"}


def test_without_the_setting_nothing_is_read(blobs: FolderBlobs, redis_url: str) -> None:
    pair = captioned(stage(blobs, redis_url, None), blobs)

    assert pair.ocr == ()
    assert pair.candidates == ()


@pytest.mark.parametrize("lines", [(SALE,), ()])
def test_an_image_is_read_once_for_each_revision(
    blobs: FolderBlobs, redis_url: str, lines: tuple[OcrText, ...]
) -> None:
    first, again = Reader(*lines), Reader(*lines)
    newer = Reader(*lines, revision="2")

    pairs = [captioned(stage(blobs, redis_url, each), blobs) for each in (first, again, newer)]

    assert [reader.calls for reader in (first, again, newer)] == [1, 0, 1]
    assert {pair.ocr for pair in pairs} == {lines}


def test_a_pair_that_came_with_text_is_not_read_again(blobs: FolderBlobs, redis_url: str) -> None:
    reader, theirs = Reader(SALE), OcrText(text="OPEN")

    pair = captioned(stage(blobs, redis_url, reader), blobs, theirs)

    assert reader.calls == 0
    assert pair.ocr == (theirs,)
    assert "reader" not in pair.provenance.stages[-1].models


def test_an_engine_that_fails_costs_the_text_alone_and_is_asked_again(
    blobs: FolderBlobs, redis_url: str
) -> None:
    failed = IMAGES.labels("failed")._value.get()
    reader = Reader(SALE, fails=True)

    pair = captioned(stage(blobs, redis_url, reader), blobs)
    reader.fails = False
    later = captioned(stage(blobs, redis_url, reader), blobs)

    assert pair.ocr == ()
    assert IMAGES.labels("failed")._value.get() == failed + 1
    assert later.ocr == (SALE,)


def test_a_takedown_forgets_the_text_of_an_image(blobs: FolderBlobs, redis_url: str) -> None:
    captioned(stage(blobs, redis_url, Reader(SALE)), blobs)
    sha256 = store_image(blobs, 0).blob.sha256
    cache = OcrCache(redis.Redis.from_url(redis_url), "t:")

    gone = cache.forget([Footprint(sha256=sha256)])

    assert gone == 1
    assert cache.get(sha256, "1") is None


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rapidocr", None)

    with pytest.raises(Fatal, match=r"install kaption\[ocr\]"):
        engine.RapidOcr()
