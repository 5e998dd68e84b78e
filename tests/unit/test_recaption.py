"""The recaption stage with a tiny BLIP, a real Redis cache and blobs in a folder."""

from collections.abc import Sequence
from typing import Any

import pytest
import redis

from kaption.connections.errors import Fatal
from kaption.schemas import Caption, CaptionedPair, CaptionKind, Reason, ScoredPair, Tag
from kaption.schemas.topics import CAPTIONED
from kaption.testing.records import scored_pair, store_image
from kaption.workers.captioners.captioner import CaptionContext, Captioner
from kaption.workers.plugins import load_captioners
from kaption.workers.policy.recaption import RecaptionPolicy, SamplingPolicy, TransformersPolicy
from kaption.workers.runtime.stage import Dead, Emit, Reject
from kaption.workers.stages.recaption import RecaptionInput, RecaptionParts, RecaptionStage
from kaption.workers.stores.captions import CaptionCache
from support.entries import bisection, prepared_entry
from support.model_stages import NOW, FolderBlobs, message
from support.tiny_models import tiny_blip


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> RecaptionPolicy:
    folder = tiny_blip(tmp_path_factory.mktemp("blip"))
    return RecaptionPolicy(
        transformers=TransformersPolicy(
            model=str(folder), device="cpu", sampling=SamplingPolicy(max_new_tokens=6)
        )
    )


@pytest.fixture(scope="module")
def captioners(policy: RecaptionPolicy) -> tuple[Captioner, ...]:
    return load_captioners(policy)


def asking(
    policy: RecaptionPolicy, blobs: FolderBlobs, redis_url: str, *captioners: Captioner
) -> RecaptionStage:
    made = RecaptionStage(
        policy,
        RecaptionParts(
            blobs, CaptionCache(redis.Redis.from_url(redis_url), "t:"), lambda _: captioners
        ),
        now=lambda: NOW,
    )
    made.setup()
    return made


@pytest.fixture
def stage(
    policy: RecaptionPolicy,
    captioners: tuple[Captioner, ...],
    blobs: FolderBlobs,
    redis_url: str,
) -> RecaptionStage:
    return asking(policy, blobs, redis_url, *captioners)


def scored(blobs: FolderBlobs, seed: int, *tags: str) -> ScoredPair:
    return scored_pair(
        seed,
        clean_text="a red star",
        image=store_image(blobs, seed),
        original=None,
        tags=tuple(Tag(name=tag) for tag in tags),
    )


def run(stage: RecaptionStage, *pairs: ScoredPair) -> list[CaptionedPair]:
    batch = [(message(pair), stage.prepare(message(pair))) for pair in pairs]
    records = []
    for outcome in stage.process(batch):
        assert isinstance(outcome, Emit)
        ((topic, record),) = outcome.outputs
        assert topic == CAPTIONED
        assert isinstance(record, CaptionedPair)
        records.append(record)
    return records


def test_every_captioner_adds_its_candidates(stage: RecaptionStage, blobs: FolderBlobs) -> None:
    first, second = run(stage, scored(blobs, 0, "star", "grass"), scored(blobs, 1))

    assert [c.text for c in first.candidates if c.kind is CaptionKind.RULE] == ["a star and grass"]
    assert sum(c.kind is CaptionKind.VLM for c in first.candidates) >= 4
    assert {c.kind for c in second.candidates} == {CaptionKind.VLM}


def test_the_trace_names_every_captioner(
    stage: RecaptionStage, blobs: FolderBlobs, captioners: tuple[Captioner, ...]
) -> None:
    (pair,) = run(stage, scored(blobs, 0))

    (trace,) = pair.provenance.stages
    assert trace.stage == "recaption"
    assert trace.models == {captioner.model: captioner.revision for captioner in captioners}


def test_cached_candidates_need_neither_image_nor_model(
    stage: RecaptionStage, blobs: FolderBlobs, captioners: tuple[Captioner, ...]
) -> None:
    pair = scored(blobs, 0, "star")
    (first,) = run(stage, pair)
    blobs.clear()

    prepared = stage.prepare(message(pair))
    (again,) = run(stage, pair)

    assert isinstance(prepared, RecaptionInput)
    assert prepared.image is None
    assert again.candidates == first.candidates


def test_hits_and_misses_share_a_batch(stage: RecaptionStage, blobs: FolderBlobs) -> None:
    old, new = scored(blobs, 0), scored(blobs, 1)
    (known,) = run(stage, old)

    first, second, third = run(stage, new, old, new)

    assert second.candidates == known.candidates
    assert first.candidates == third.candidates
    assert first.candidates != second.candidates


def test_images_are_prepared_once_by_the_threads_that_prepare_records(
    stage: RecaptionStage,
    captioners: tuple[Captioner, ...],
    blobs: FolderBlobs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model: Any = captioners[1]
    processor = model._loaded.processor.image_processor
    seen: list[int] = []
    whole = type(processor).__call__

    def counted(self: Any, images: Any, **given: Any) -> Any:
        seen.append(len(images))
        return whole(self, images, **given)

    monkeypatch.setattr(type(processor), "__call__", counted)
    messages = [message(scored(blobs, seed)) for seed in (70, 71)]

    batch = [(each, stage.prepare(each)) for each in messages]

    assert seen == [1, 1]
    assert [item.image for _, item in batch] == [None, None]
    stage.process(batch)
    assert seen == [1, 1]


def test_beyond_the_limit_of_memory_an_image_is_prepared_with_its_batch(
    stage: RecaptionStage, blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kaption.workers.stages.recaption._PREPARED_BYTES", 10_000)
    messages = [message(scored(blobs, seed)) for seed in (80, 81)]

    first, second = (stage.prepare(each) for each in messages)

    assert (first.image is None, second.image is None) == (True, False)
    outcomes = stage.process(list(zip(messages, (first, second), strict=True)))
    assert all(isinstance(outcome, Emit) for outcome in outcomes)
    del first  # as when its partition is lost
    assert stage.prepare(message(scored(blobs, 82))).image is None


class Quoting:
    """A captioner that repeats the alt text, without the image."""

    name = model = "quoting"
    revision = "1"
    cache_id: str | None = "quoting"
    uses_images = False
    uses_context = True

    def caption(
        self, images: Sequence[object], contexts: Sequence[CaptionContext]
    ) -> list[tuple[Caption, ...]]:
        return [(Caption(text=context.alt_text, kind=CaptionKind.FUSED),) for context in contexts]


def test_candidates_that_depend_on_the_alt_text_are_cached_for_that_text(
    policy: RecaptionPolicy, blobs: FolderBlobs, redis_url: str
) -> None:
    stage = asking(policy, blobs, redis_url, Quoting())
    pair = scored(blobs, 0)
    other = pair.model_copy(update={"clean_text": "a blue circle"})

    answers = [run(stage, each)[0].candidates for each in (pair, other)]

    assert [caption.text for (caption,) in answers] == ["a red star", "a blue circle"]
    assert [stage.prepare(message(each)).answers for each in (pair, other)] == [
        {0: answer} for answer in answers
    ]


def test_a_missing_blob_is_a_rejection(stage: RecaptionStage, blobs: FolderBlobs) -> None:
    pair = scored(blobs, 0)
    blobs.clear()

    with pytest.raises(Reject) as caught:
        stage.prepare(message(pair))

    assert caught.value.reason is Reason.BLOB_MISSING


class Repeating:
    """A captioner that returns one text in several forms, and then empty texts."""

    name = model = "repeating"
    revision = "1"
    cache_id: str | None = None
    uses_images = False
    uses_context = False

    def caption(
        self, images: Sequence[object], contexts: Sequence[object]
    ) -> list[tuple[Caption, ...]]:
        texts = ("a star", " a star ", "", "  ", "a circle")
        said = tuple(Caption(text=text, kind=CaptionKind.RULE) for text in texts)
        return [said, *[()] * (len(contexts) - 1)]


def test_repeated_and_empty_candidates_are_dropped(
    policy: RecaptionPolicy, blobs: FolderBlobs, redis_url: str
) -> None:
    stage = asking(policy, blobs, redis_url, Repeating())

    talkative, silent = run(stage, scored(blobs, 0), scored(blobs, 1))

    assert [caption.text for caption in talkative.candidates] == ["a star", "a circle"]
    assert silent.candidates == ()


class Fussy(Quoting):
    """A captioner that a mark in an alt text breaks."""

    def caption(
        self, images: Sequence[object], contexts: Sequence[CaptionContext]
    ) -> list[tuple[Caption, ...]]:
        if any("<image>" in context.alt_text for context in contexts):
            raise ValueError("image tokens and images do not match")
        return super().caption(images, contexts)


def test_alt_texts_that_break_a_captioner_do_not_break_its_probe(
    policy: RecaptionPolicy, blobs: FolderBlobs, redis_url: str, captioners: tuple[Captioner, ...]
) -> None:
    # Given four alt texts that break one of the captioners
    stage = asking(policy, blobs, redis_url, *captioners, Fussy())
    bad = [scored(blobs, n).model_copy(update={"clean_text": f"<image> {n}"}) for n in range(4)]
    entries = [prepared_entry(stage, n, pair) for n, pair in enumerate(bad)]
    # When the engine processes them; then they are dead, and the stage goes on
    bisection(stage).run(entries)
    assert all(isinstance(each.outcome, Dead) and each.own_fault for each in entries)
    assert len(run(stage, scored(blobs, 9))) == 1


def test_a_captioner_that_fails_with_every_image_is_told_by_the_probe(
    policy: RecaptionPolicy, blobs: FolderBlobs, redis_url: str
) -> None:
    class Gone(Quoting):
        def caption(self, images: object, contexts: object) -> list[tuple[Caption, ...]]:
            raise RuntimeError("CUDA error: device lost")

    stage = asking(policy, blobs, redis_url, Gone())
    entries = [prepared_entry(stage, 0, scored(blobs, 0))]
    with pytest.raises(Fatal, match=r"recaption is broken.*device lost"):
        bisection(stage).run(entries)
