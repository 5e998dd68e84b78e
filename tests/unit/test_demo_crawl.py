"""The demo's crawl: its truth is right, and ingest gives the outcomes that it demands."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from io import BytesIO
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from kaption.connections.settings import RedisConnection
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.folder import FolderStore
from kaption.schemas import (
    CaptionKind,
    CleanPair,
    IngestedPair,
    Position,
    RawPair,
    Reason,
    RejectedPair,
)
from kaption.testing.records import caption, clean_pair
from kaption.workers.decode.hashes import dhash
from kaption.workers.decode.pool import DecodePool
from kaption.workers.demo.contact_sheet import choose, contact_sheet
from kaption.workers.demo.crawl import Crawl
from kaption.workers.demo.scenes import Scene, SceneObject
from kaption.workers.demo.site import FETCH, Page, Site
from kaption.workers.demo.truth import Noise, Terminal, Truth, agrees, judge
from kaption.workers.fetch.fetcher import Fetcher
from kaption.workers.policy.ingest import IngestPolicy
from kaption.workers.runtime.stage import Emit, Incoming, Outcome, Reject
from kaption.workers.stages.ingest.arrivals import IngestParts
from kaption.workers.stages.ingest.stage import IngestInput, IngestStage
from kaption.workers.stores.answers import Answers
from kaption.workers.stores.client import connect_redis
from kaption.workers.stores.copy_texts import CopyTexts
from kaption.workers.stores.dedup import Dedup
from kaption.workers.text.language import LanguageDetector
from support.model_stages import taken_down

pytestmark = pytest.mark.slow

NOW = datetime(2026, 1, 2, tzinfo=UTC)
THING = SceneObject("circle", "red", "striped", "large", 0.5, 0.5, 0.3)
SCENE = Scene((THING,), "on green grass")
DUPLICATES = frozenset({Reason.DUPLICATE, Reason.NEAR_DUPLICATE})


@pytest.fixture(scope="module")
def crawl() -> Crawl:
    return Crawl(seed=7, count=60)


def kept(truth: Truth, text: str, kind: CaptionKind = CaptionKind.VLM) -> CleanPair:
    return clean_pair(
        0,
        caption(text, kind, score=0.5),
        pair_id=truth.pair_id,
        text=truth.alt_text,
        clean_text=truth.clean_text or "",
    )


def rejected(pair_id: str, reason: Reason) -> RejectedPair:
    return RejectedPair(
        pair_id=pair_id,
        stage="ingest",
        reason=reason,
        rejected_at=NOW,
        record_schema="RawPair/1",
        record={},
    )


def test_the_same_seed_gives_the_same_crawl() -> None:
    one, same, other = Crawl(3, 24), Crawl(3, 24), Crawl(4, 24)

    assert one.pages == same.pages
    assert list(one.records("http://x")) == list(same.records("http://x"))
    assert one.truths == same.truths
    assert one.truths != other.truths


def test_a_crawl_has_every_kind_of_noise_and_unique_ids(crawl: Crawl) -> None:
    records = list(crawl.records("http://x"))

    assert {truth.kind for truth in crawl.truths} == set(Noise)
    assert [record.pair_id for record in records] == [truth.pair_id for truth in crawl.truths]
    assert len({record.pair_id for record in records}) == len(records) == 60
    assert sum(record.image.inline is not None for record in records) >= 1


def test_copies_come_in_groups_of_two_with_one_right_pair(crawl: Crawl) -> None:
    groups: dict[str, list[Noise]] = {}
    for truth in crawl.truths:
        if truth.group:
            groups.setdefault(truth.group, []).append(truth.kind)

    assert groups
    for kinds in groups.values():
        assert len(kinds) == 2
        assert Noise.RIGHT in kinds
        assert set(kinds) & {Noise.EXACT, Noise.NEAR}


def test_distinct_images_have_distant_hashes(crawl: Crawl) -> None:
    whole = {
        t.pair_id: t for t in crawl.truths if t.kind not in (Noise.EXACT, Noise.NEAR, Noise.TINY)
    }
    hashes = {}
    for path, page in crawl.pages.items():
        pair_id = path.removeprefix("/images/").removesuffix(".jpg")
        if pair_id in whole and whole[pair_id].kind.due is None:
            image = ImageOps.exif_transpose(Image.open(BytesIO(page.body)))
            hashes[pair_id] = dhash(image.convert("L"))

    values = [value for value in hashes.values() if value is not None]
    assert len(values) == len(hashes) > 25
    assert min((a ^ b).bit_count() for a, b in combinations(values, 2)) > 6


def test_the_site_serves_its_pages_and_404() -> None:
    with Site({"/a.png": Page(b"picture", "image/png")}) as site:
        with urllib.request.urlopen(f"{site.url}/a.png") as answer:
            assert (answer.read(), answer.headers["Content-Type"]) == (b"picture", "image/png")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{site.url}/b.png")


def test_closing_the_site_does_not_wait_for_a_silent_page() -> None:
    with Site({"/a.png": Page(b"late", "image/png", delay_s=600)}) as site:
        pool = ThreadPoolExecutor(1)
        answer = pool.submit(urllib.request.urlopen, f"{site.url}/a.png")
        with pytest.raises(TimeoutError):
            answer.result(timeout=0.3)

    with answer.result(timeout=30) as late:  # closing the site ends the wait
        assert late.read() == b"late"
    pool.shutdown()


@pytest.mark.parametrize(
    ("text", "true"),
    [
        ("a large striped red circle on green grass", True),
        ("a striped circle", True),
        ("on green grass", True),
        ("red circles", True),
        ("a blue circle", False),
        ("a red circle and a star", False),
        ("a red circle in the snow", False),
        ("a green circle on green grass", False),
        ("my holiday", False),
        ("", False),
    ],
)
def test_a_text_agrees_if_it_names_true_attributes_and_no_others(text: str, true: bool) -> None:
    assert agrees(text, SCENE) is true


@pytest.mark.parametrize(
    ("kind", "outcome", "right"),
    [
        (Noise.RIGHT, "kept", True),
        (Noise.RIGHT, Reason.LOW_ALIGNMENT, False),
        (Noise.RIGHT, Reason.NEAR_DUPLICATE, False),
        (Noise.WRONG, "kept", True),
        (Noise.WRONG, "original", False),
        (Noise.SLANG, "uncleaned", False),
        (Noise.TINY, Reason.TOO_SMALL, True),
        (Noise.TINY, Reason.TRUNCATED, False),
        (Noise.TINY, "kept", False),
        (Noise.MISSING, None, False),
    ],
)
def test_one_pair_is_judged_by_its_kind(
    kind: Noise, outcome: str | Reason | None, right: bool
) -> None:
    truth = Truth("a", kind, SCENE, "alt", "a striped circle")
    outcomes: dict[str, Terminal] = {}
    if isinstance(outcome, Reason):
        outcomes["a"] = rejected("a", outcome)
    elif outcome is not None:
        by = CaptionKind.ORIGINAL if outcome == "original" else CaptionKind.VLM
        pair = kept(truth, "a striped circle", by)
        unclean = pair.model_copy(update={"clean_text": "a stirped circle"})
        outcomes["a"] = unclean if outcome == "uncleaned" else pair

    judgement = judge([truth], outcomes)

    assert (judgement.right, judgement.pairs) == (int(right), 1)
    assert len(judgement.kinds[kind].mistakes) == int(not right)


@pytest.mark.parametrize(
    ("first", "second", "right"), [("kept", "copy", 2), ("copy", "kept", 2), ("kept", "kept", 1)]
)
def test_exactly_one_of_an_image_and_its_copy_must_be_kept(
    first: str, second: str, right: int
) -> None:
    truths = [
        Truth("a", Noise.RIGHT, SCENE, "alt", group="g"),
        Truth("b", Noise.NEAR, SCENE, "alt", group="g"),
    ]
    outcomes: dict[str, Terminal] = {
        truth.pair_id: kept(truth, "a striped circle")
        if what == "kept"
        else rejected(truth.pair_id, Reason.NEAR_DUPLICATE)
        for truth, what in zip(truths, (first, second), strict=True)
    }

    assert judge(truths, outcomes).right == right


def test_the_judgement_counts_true_texts_before_and_after() -> None:
    truths = [Truth(name, Noise.WRONG, SCENE, "a blue star") for name in "ab"]
    outcomes: dict[str, Terminal] = {
        "a": kept(truths[0], "a striped circle"),
        "b": kept(truths[1], "a dotted circle"),
    }

    judgement = judge(truths, outcomes)

    assert (judgement.kept, judgement.agreed_before, judgement.agreed_after) == (2, 0, 1)


def test_the_contact_sheet_shows_each_kept_kind(crawl: Crawl) -> None:
    outcomes: dict[str, Terminal] = {
        truth.pair_id: kept(truth, "a striped circle") for truth in crawl.truths
    }

    chosen = choose(crawl.truths, outcomes, 24)
    image = Image.new("RGB", (400, 300), (1, 2, 3))
    sheet = contact_sheet([(image, truth, pair) for truth, pair in chosen])

    assert {truth.kind for truth, _ in chosen} == set(Noise)
    counts = Counter(sheet.get_flattened_data())
    assert counts[1, 2, 3] == 24 * 168 * 126
    assert counts[16, 110, 56] > 100  # true texts in green
    assert counts[176, 32, 32] > 100  # untrue ones in red


def test_ingest_gives_the_outcomes_that_the_truth_demands(
    crawl: Crawl, redis_url: str, tmp_path: Path
) -> None:
    policy = IngestPolicy(fetch=FETCH)
    connection = RedisConnection.model_validate({"url": redis_url})
    parts = IngestParts(
        Fetcher(policy.fetch),
        DecodePool(policy.image, 2),
        BlobStore(FolderStore(tmp_path)),
        Dedup(connect_redis(connection), connection.key_prefix, policy.dedup),
        Answers(connect_redis(connection), connection.key_prefix, ttl_s=policy.answers_ttl_s),
        CopyTexts(connect_redis(connection), connection.key_prefix, policy.dedup.copy_texts),
        taken_down(redis_url),
        LanguageDetector(policy.text.model_copy(update={"detect_languages": ("en", "de")})),
    )
    stage = IngestStage(policy, parts, now=lambda: NOW)
    stage.setup()
    with Site(crawl.pages) as site:
        outcomes = _outcomes(stage, list(crawl.records(site.url)))
    stage.close()

    for truth in crawl.truths:
        outcome = outcomes[truth.pair_id]
        reason = outcome.reason if isinstance(outcome, Reject) else None
        if truth.group is not None:
            fellows = [outcomes[t.pair_id] for t in crawl.truths if t.group == truth.group]
            assert sum(isinstance(fellow, Reject) for fellow in fellows) == 1, truth
            assert reason is None or reason in DUPLICATES, truth
        else:
            assert reason == truth.kind.due, truth
        if isinstance(outcome, Emit) and truth.clean_text is not None:
            pair = outcome.outputs[0][1]
            assert isinstance(pair, IngestedPair)
            assert pair.clean_text == truth.clean_text


def _outcomes(stage: IngestStage, records: list[RawPair]) -> dict[str, Outcome]:
    origins = [Position("pairs.raw", 0, offset) for offset in range(len(records))]
    messages = [Incoming(r, o, o) for r, o in zip(records, origins, strict=True)]

    def prepared(message: Incoming[RawPair]) -> IngestInput | Reject:
        try:
            return stage.prepare(message)
        except Reject as reject:
            return reject

    with ThreadPoolExecutor(8) as pool:
        inputs = list(zip(messages, pool.map(prepared, messages), strict=True))
    outcomes: dict[str, Outcome] = {
        m.record.pair_id: found for m, found in inputs if isinstance(found, Reject)
    }
    batch = [(m, found) for m, found in inputs if isinstance(found, IngestInput)]
    for (message, _), outcome in zip(batch, stage.process(batch), strict=True):
        outcomes[message.record.pair_id] = outcome
    return outcomes
