"""The score stage with a tiny model, a real Redis cache and blobs in a folder."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import redis
from PIL import Image

from kaption.schemas import CaptionedPair, CaptionKind, Reason, Route, ScoredPair
from kaption.schemas.topics import CAPTIONED, SCORED
from kaption.workers.models.open_clip import build
from kaption.workers.plugins import load_checks
from kaption.workers.policy import ClipPolicy, ScorePolicy, SelectPolicy
from kaption.workers.runtime.stage import Dead, Emit, Reject
from kaption.workers.stages.alignment import Alignment
from kaption.workers.stages.score import ScoreStage
from kaption.workers.stores.embeddings import EmbeddingCache
from support.model_stages import NOW, FolderBlobs, ingested, message, stored
from support.tiny_models import tiny_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ClipPolicy:
    return ClipPolicy(model=f"local-dir:{tiny_clip(tmp_path_factory.mktemp('clip'))}", device="cpu")


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    return FolderBlobs(tmp_path)


def stage(
    clip: ClipPolicy, blobs: FolderBlobs, redis_url: str, good: float, **select: object
) -> ScoreStage:
    accepted = SelectPolicy.model_validate({"min_score": -1.0} | select)
    made = ScoreStage(
        ScorePolicy(good_score=good),
        Alignment(clip, blobs, EmbeddingCache(redis.Redis.from_url(redis_url), "t:"), build),
        accepted,
        load_checks(accepted),
        now=lambda: NOW,
    )
    made.setup()
    return made


def run(made: ScoreStage, *texts: str, blobs: FolderBlobs) -> list[CaptionedPair | ScoredPair]:
    batch = []
    for seed, text in enumerate(texts):
        incoming = message(ingested(stored(blobs, seed), text))
        batch.append((incoming, made.prepare(incoming)))
    records = []
    for outcome in made.process(batch):
        assert isinstance(outcome, Emit)
        ((topic, record),) = outcome.outputs
        assert topic == (CAPTIONED if isinstance(record, CaptionedPair) else SCORED)
        assert isinstance(record, ScoredPair)
        records.append(record)
    return records


def test_a_good_alt_text_skips_the_captioner(
    clip: ClipPolicy, blobs: FolderBlobs, redis_url: str
) -> None:
    (pair,) = run(stage(clip, blobs, redis_url, good=-1.0), "a red circle", blobs=blobs)

    assert isinstance(pair, CaptionedPair)
    assert pair.route is Route.ALT_TEXT_GOOD
    assert pair.candidates == ()
    assert pair.original is not None
    assert (pair.original.text, pair.original.kind) == ("a red circle", CaptionKind.ORIGINAL)


def test_weak_and_empty_alt_texts_go_to_the_captioner(
    clip: ClipPolicy, blobs: FolderBlobs, redis_url: str
) -> None:
    made = stage(clip, blobs, redis_url, good=1.0)

    weak, empty = run(made, "a red circle", " ", blobs=blobs)

    assert weak.route is Route.NEEDS_CAPTION
    assert weak.original is not None
    assert empty.original is None
    assert empty.route is Route.NEEDS_CAPTION


@pytest.mark.parametrize(
    "text", ["vase", "red vase", "SKU 12345678 90-11", "a red car a red car a red car a red car"]
)
def test_an_alt_text_that_select_refuses_gets_a_candidate(
    clip: ClipPolicy, blobs: FolderBlobs, redis_url: str, text: str
) -> None:
    (pair,) = run(stage(clip, blobs, redis_url, good=-1.0), text, blobs=blobs)

    assert pair.route is Route.NEEDS_CAPTION


@pytest.mark.parametrize(
    "text", ["红色花瓶", "แจกันสีแดง", "赤い花瓶", "a red vase", "ваза на столе"]
)
def test_words_are_counted_in_scripts_without_spaces(
    clip: ClipPolicy, blobs: FolderBlobs, redis_url: str, text: str
) -> None:
    (pair,) = run(stage(clip, blobs, redis_url, good=-1.0), text, blobs=blobs)

    assert pair.route is Route.ALT_TEXT_GOOD


def test_the_short_way_asks_for_the_score_that_select_asks_for(
    clip: ClipPolicy, blobs: FolderBlobs, redis_url: str
) -> None:
    made = stage(clip, blobs, redis_url, good=-1.0, min_score=1.0)

    (pair,) = run(made, "a red circle", blobs=blobs)

    assert pair.route is Route.NEEDS_CAPTION


def test_the_score_is_the_cosine_of_the_scorer(
    clip: ClipPolicy, blobs: FolderBlobs, redis_url: str
) -> None:
    scorer = build(clip)
    opened = Image.open(BytesIO(blobs.get(stored(blobs, 0)))).convert("RGB")
    image = scorer.encode_images([scorer.preprocess(opened)])[0]

    (pair,) = run(stage(clip, blobs, redis_url, good=1.0), "a red circle", blobs=blobs)

    assert pair.original is not None
    expected = float(image @ scorer.encode_texts(["a red circle"])[0])
    assert pair.original.score == pytest.approx(expected, abs=1e-4)
    assert pair.original.window_scores == (pair.original.score,)


def test_a_long_text_is_kept_whole_and_in_a_fitted_form(
    clip: ClipPolicy, blobs: FolderBlobs, redis_url: str
) -> None:
    text = "a red circle on grass, a blue star, " * 4

    (pair,) = run(stage(clip, blobs, redis_url, good=1.0), text, blobs=blobs)

    assert pair.original is not None
    assert pair.original.text == text
    assert pair.original.fitted_text == "a red circle on grass, a blue star"
    assert len(pair.original.window_scores) > 1


def test_an_embedding_is_computed_once(
    clip: ClipPolicy, blobs: FolderBlobs, redis_url: str
) -> None:
    made = stage(clip, blobs, redis_url, good=1.0)
    (first,) = run(made, "a red circle", blobs=blobs)
    incoming = message(ingested(stored(blobs, 0), "a red circle"))
    blobs.clear()

    prepared = made.prepare(incoming)
    (outcome,) = made.process([(incoming, prepared)])

    assert isinstance(prepared.image, np.ndarray)
    assert isinstance(outcome, Emit)
    again = outcome.outputs[0][1]
    assert isinstance(again, ScoredPair)
    assert again.original is not None
    assert first.original is not None
    assert again.original.score == pytest.approx(first.original.score, abs=2e-3)


def test_a_missing_blob_is_a_rejection(
    clip: ClipPolicy, blobs: FolderBlobs, redis_url: str
) -> None:
    made = stage(clip, blobs, redis_url, good=1.0)
    incoming = message(ingested(stored(blobs, 0), "a red circle"))
    blobs.clear()

    with pytest.raises(Reject) as caught:
        made.prepare(incoming)

    assert caught.value.reason is Reason.BLOB_MISSING


def test_a_damaged_blob_is_dead(clip: ClipPolicy, blobs: FolderBlobs, redis_url: str) -> None:
    made = stage(clip, blobs, redis_url, good=1.0)
    ref = stored(blobs, 0)
    blobs.overwrite(ref, blobs.get(ref)[:200])

    with pytest.raises(Dead, match=ref.sha256):
        made.prepare(message(ingested(ref, "a red circle")))


def test_a_blob_that_is_not_an_image_is_dead(
    clip: ClipPolicy, blobs: FolderBlobs, redis_url: str
) -> None:
    made = stage(clip, blobs, redis_url, good=1.0)
    ref = blobs.put(blobs.get(stored(blobs, 0))[:200])

    with pytest.raises(Dead, match="cannot be decoded"):
        made.prepare(message(ingested(ref, "a red circle")))


def test_the_trace_names_model_revision_and_preprocessing(
    clip: ClipPolicy, blobs: FolderBlobs, redis_url: str
) -> None:
    (pair,) = run(stage(clip, blobs, redis_url, good=1.0), "a red circle", blobs=blobs)

    (trace,) = pair.provenance.stages
    scorer = build(clip)
    assert trace.stage == "score"
    assert trace.models == {clip.model: scorer.revision}
    assert trace.preprocessing_id == scorer.preprocessing_id
    assert trace.finished_at == NOW
