"""The score stage with a tiny model, a real Redis cache and blobs in a folder."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import redis
import torch
from numpy.typing import NDArray
from PIL import Image

from kaption.connections.errors import Fatal
from kaption.schemas import (
    CaptionedPair,
    CaptionKind,
    DedupInfo,
    IngestedPair,
    Reason,
    Route,
    ScoredPair,
)
from kaption.schemas.topics import CAPTIONED, SCORED
from kaption.workers.models.open_clip import build
from kaption.workers.plugins import load_checks
from kaption.workers.policy.score import ClipPolicy, ScorePolicy
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.runtime.stage import Dead, Emit, Reject
from kaption.workers.stages.alignment import Alignment
from kaption.workers.stages.score import ScoreStage, ScoreStores
from kaption.workers.stores.copy_texts import CopyTexts, RefusedCopy
from kaption.workers.stores.cosines import CosineStore
from kaption.workers.stores.embeddings import EmbeddingCache
from kaption.workers.stores.semantic import SemanticClaims
from support.entries import bisection, prepared_entry
from support.model_stages import NOW, FolderBlobs, ingested, message, stored
from support.tiny_models import tiny_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ClipPolicy:
    return ClipPolicy(model=f"local-dir:{tiny_clip(tmp_path_factory.mktemp('clip'))}", device="cpu")


def stage(
    clip: ClipPolicy, blobs: FolderBlobs, redis_url: str, good: float | None, **select: object
) -> ScoreStage:
    accepted = SelectPolicy.model_validate({"min_score": -1.0} | select)
    client = redis.Redis.from_url(redis_url)
    made = ScoreStage(
        ScorePolicy(good_score=good),
        Alignment(clip, blobs, EmbeddingCache(client, "t:"), CosineStore(client, "t:"), build),
        accepted,
        load_checks(accepted),
        ScoreStores(CopyTexts(redis.Redis.from_url(redis_url), "t:", 8)),
        now=lambda: NOW,
    )
    made.setup()
    return made


def run(
    made: ScoreStage, *texts: str, blobs: FolderBlobs, first: int = 0
) -> list[CaptionedPair | ScoredPair]:
    batch = []
    for seed, text in enumerate(texts, first):
        incoming = message(ingested(stored(blobs, seed), text), seed)
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


def test_a_fixed_threshold_is_recorded(
    clip: ClipPolicy, blobs: FolderBlobs, redis_url: str
) -> None:
    (pair,) = run(stage(clip, blobs, redis_url, good=0.25), "a red circle", blobs=blobs)

    assert pair.provenance.stages[-1].threshold == 0.25


def test_a_scorer_without_a_number_begins_with_the_floor_of_its_shuffled_pairs(
    tmp_path: Path, blobs: FolderBlobs, redis_url: str
) -> None:
    # Given a scorer that recommends nothing, and stages without a fixed threshold
    clip = ClipPolicy(
        model=f"local-dir:{tiny_clip(tmp_path, recommended_score=None)}", device="cpu"
    )
    made = stage(clip, blobs, redis_url, good=None, min_score=None)
    # When a pair comes alone, and then several
    (alone,) = run(made, "a red circle on grass", blobs=blobs)
    texts = [f"a {color} circle on grass" for color in ("red", "blue", "green", "pink", "big")]
    pairs = run(made, *texts, blobs=blobs, first=1)
    # Then the first one needs a caption, and the others have a threshold that is recorded
    assert (alone.route, alone.provenance.stages[-1].threshold) == (Route.NEEDS_CAPTION, None)
    (threshold,) = {pair.provenance.stages[-1].threshold for pair in pairs}
    assert threshold is not None
    for pair in pairs:
        assert pair.original is not None
        assert pair.original.score is not None
        assert (pair.route is Route.ALT_TEXT_GOOD) == (pair.original.score >= threshold)


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


@pytest.mark.parametrize("broken", [True, False])
def test_the_probe_tells_a_broken_scorer(
    clip: ClipPolicy, blobs: FolderBlobs, redis_url: str, broken: bool
) -> None:
    # Given a record whose scoring fails
    made = stage(clip, blobs, redis_url, good=-1.0)
    item = prepared_entry(made, 0, ingested(stored(blobs, 0), "a red circle"))
    scorer = made._alignment.scorer
    good = scorer.encode_images

    def fails(pixels: Sequence[torch.Tensor]) -> NDArray[np.float32]:
        if broken:
            return good(pixels) * np.nan
        if not all(torch.equal(each[0], each[0][0, 0].expand_as(each[0])) for each in pixels):
            raise ValueError("only images of one colour")
        return good(pixels)

    scorer.encode_images = fails  # type: ignore[method-assign]  # of this one
    # When the engine processes it; then the probe decides
    if broken:
        item.prepared = None  # process fails with it, and the probe is asked
        with pytest.raises(Fatal, match=r"score is broken.*the score nan"):
            bisection(made).run([item])
    else:
        bisection(made).run([item])
        assert isinstance(item.outcome, Dead)
        assert item.own_fault


@pytest.mark.parametrize(("good", "route"), [(-1.0, "alt_text_good"), (1.0, "needs_caption")])
def test_texts_of_copies_are_scored_and_routed_like_the_pairs_own(
    clip: ClipPolicy, blobs: FolderBlobs, redis_url: str, good: float, route: str
) -> None:
    # Given a pair whose own text no check accepts, and copies with its words and with others
    copies = CopyTexts(redis.Redis.from_url(redis_url), "t:", 8)
    owner = ingested(stored(blobs, 0), "").dedup.owner
    texts = ["VASE", "a red circle on grass", "a circle"]
    copied = [ingested(stored(blobs, 1), text, f"copy-{text}") for text in texts]
    copies.remember([RefusedCopy(pair, Reject(Reason.DUPLICATE, f"of {owner}")) for pair in copied])

    # When
    (pair,) = run(stage(clip, blobs, redis_url, good=good), "vase", blobs=blobs)

    # Then one good text is enough, and each has its own score and source
    assert pair.route is Route(route)
    assert pair.original is not None
    assert pair.original.text == "vase"
    found = {caption.text: caption for caption in pair.other_texts}
    assert found.keys() == set(texts[1:])
    assert len({pair.original.score, *(caption.score for caption in found.values())}) == 3
    source = found["a circle"].source
    assert source is not None
    assert source.pair_id == "copy-a circle"


def _dedup(outcome: Emit) -> DedupInfo:
    ((_, record), *_) = outcome.outputs
    assert isinstance(record, IngestedPair)
    return record.dedup


@pytest.mark.parametrize("policy", ["off", "mark", "drop"])
def test_an_image_that_shows_what_a_kept_one_shows_is_kept_marked_or_dropped(
    clip: ClipPolicy, blobs: FolderBlobs, redis_url: str, policy: str
) -> None:
    # Given a stage for which all images show the same, with room for rounding
    made = stage(clip, blobs, redis_url, good=1.0)
    semantic = SemanticClaims(redis.Redis.from_url(redis_url), "t:", 1e-3, 100)
    made._semantic = None if policy == "off" else semantic
    made._policy = ScorePolicy.model_validate({"semantic": policy})
    pairs = [ingested(stored(blobs, seed), "a red circle", f"pair-{seed}") for seed in range(2)]
    pairs = [
        pair.model_copy(update={"dedup": DedupInfo(owner=f"pairs.raw/0/{at}")})
        for at, pair in enumerate(pairs)
    ]
    batch = [(incoming, made.prepare(incoming)) for incoming in map(message, pairs)]

    # When
    first, second = made.process(batch)

    # Then the first one is kept as it is, also when both come again
    assert isinstance(first, Emit)
    assert _dedup(first).semantic_neighbour is None
    assert [type(each) for each in made.process(batch)] == [type(first), type(second)]
    if policy == "drop":
        assert isinstance(second, Reject)
        assert second.reason is Reason.SEMANTIC_DUPLICATE
        assert second.detail.startswith("of pair-0 with cosine 0.")
        return
    assert isinstance(second, Emit)
    dedup = _dedup(second)
    assert dedup.semantic_neighbour == (None if policy == "off" else "pair-0")
    assert (dedup.semantic_similarity or 1.0) > 0
