"""Recaption with large captioners behind a bar, and under a daily budget shared by replicas."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from kaption.connections.errors import Retry
from kaption.schemas import (
    Caption,
    CaptionedPair,
    CaptionKind,
    CheckResult,
    OcrText,
    ScoredPair,
    Tag,
)
from kaption.testing.records import image_ref, scored_pair
from kaption.workers.captioners.captioner import CaptionContext, Captioner, Spend
from kaption.workers.captioners.rules import RulesCaptioner
from kaption.workers.checks.check import NO_MASKS, Masks
from kaption.workers.demo.painting import render
from kaption.workers.demo.scenes import describe, random_scene
from kaption.workers.models.shared import shared
from kaption.workers.plugins import load_checks, load_scorer
from kaption.workers.policy.recaption import DailyBudgetPolicy, RecaptionPolicy
from kaption.workers.policy.score import ClipPolicy
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.runtime.stage import Emit
from kaption.workers.stages.alignment import Alignment
from kaption.workers.stages.bar import Bar
from kaption.workers.stages.recaption import RecaptionParts, RecaptionStage
from kaption.workers.stages.spending import COST, IMAGES, SECONDS, TOKENS, USED_UP
from kaption.workers.stores.budget import DailyBudget
from kaption.workers.stores.captions import CaptionCache
from kaption.workers.stores.cosines import CosineStore
from kaption.workers.stores.embeddings import EmbeddingCache
from support.entries import bisection, prepared_entry
from support.logs import logged
from support.model_stages import FolderBlobs, message

pytestmark = pytest.mark.slow

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CLIP = ClipPolicy(model="demo", device="cpu")
WRONG = "a tiny green cube in the desert"


class Saying:
    """A captioner that says of each image what it was told to, for a price."""

    uses_images = True
    uses_context = False

    def __init__(self, name: str, texts: dict[bytes, str], price: float = 0.0) -> None:
        self.name = self.model = name
        self.revision = "1"
        self.cache_id: str | None = name
        self.asked: list[int] = []
        self.spent: list[Spend] = []
        self.failures = 0
        self._texts = texts
        self._price = price

    def caption(
        self, images: Sequence[object], contexts: Sequence[CaptionContext]
    ) -> list[tuple[Caption, ...]]:
        if self.failures:
            self.failures -= 1
            raise Retry("the server is busy", 0.0)
        self.asked.append(len(contexts))
        self.spent = [Spend(100, 20, self._price)] * len(contexts)
        texts = [self._texts.get(context.stored or b"", WRONG) for context in contexts]
        return [(Caption(text=text, kind=CaptionKind.VLM, model=self.name),) for text in texts]


class Crawl:
    """Rendered scenes in a store, with what is true of each."""

    def __init__(self, folder: Path, count: int = 4) -> None:
        self.blobs = FolderBlobs(folder)
        self.pairs: list[ScoredPair] = []
        self.true: dict[bytes, str] = {}
        for seed in range(count):
            scene = random_scene(random.Random(seed))
            path = folder / f"{seed}.jpg"
            render(scene, 256, random.Random(seed)).save(path, quality=90)
            ref = self.blobs.put(path.read_bytes())
            image = image_ref(ref, width=256, height=256)
            self.pairs.append(
                scored_pair(
                    seed,
                    image=image,
                    original=None,
                    clean_text=f"photo {seed}",
                    tags=(Tag(name="star"), Tag(name="beach")),
                )
            )
            self.true[path.read_bytes()] = describe(scene)


@pytest.fixture
def crawl(tmp_path: Path) -> Crawl:
    return Crawl(tmp_path)


class Replica:
    """A recaption stage with captioners of ours."""

    def __init__(
        self,
        crawl: Crawl,
        redis_url: str,
        first: Sequence[Captioner],
        large: Sequence[Captioner] = (),
        bar: float | None = None,
        masks: Masks = NO_MASKS,
        **budget: float,
    ) -> None:
        self.now = NOON
        client = redis.Redis.from_url(redis_url)
        limits = DailyBudgetPolicy.model_validate(budget)
        policy = RecaptionPolicy(
            captioners=tuple(each.name for each in first),
            large=tuple(each.name for each in large),
            bar=bar,
            daily_budget=limits,
        )
        known = {each.name: each for each in (*first, *large, RulesCaptioner())}
        cosines = CosineStore(client, "t:")
        embeddings = EmbeddingCache(client, "t:")
        select = SelectPolicy()
        alignment = Alignment(
            CLIP, crawl.blobs, embeddings, cosines, lambda it: shared(it, load=load_scorer)
        )
        self.stage = RecaptionStage(
            policy,
            RecaptionParts(
                crawl.blobs,
                CaptionCache(client, "t:"),
                lambda wanted: [known[name] for name in wanted.named],
                bar=Bar(bar, alignment, select, load_checks(select)) if large else None,
                budget=DailyBudget(client, "t:", limits.limits, lambda: self.now),
                masks=masks,
            ),
            now=lambda: self.now,
        )
        self.stage.setup()

    def run(self, *pairs: ScoredPair) -> list[CaptionedPair]:
        batch = [
            (message(pair, at), self.stage.prepare(message(pair, at)))
            for at, pair in enumerate(pairs)
        ]
        return [record(each) for each in self.stage.process(batch)]


def record(outcome: object) -> CaptionedPair:
    assert isinstance(outcome, Emit)
    ((_, found),) = outcome.outputs
    assert isinstance(found, CaptionedPair)
    return found


def used_up() -> float | None:
    (family,) = USED_UP.collect()
    return next(sample.value for sample in family.samples)


def results(pair: CaptionedPair) -> dict[str, str]:
    return {use.captioner: use.result.value for use in pair.provenance.stages[-1].captioners}


def test_the_large_captioner_is_asked_about_images_below_the_bar_alone(
    crawl: Crawl, redis_url: str
) -> None:
    # Given a small captioner that is right about two of four images
    known = dict(list(crawl.true.items())[:2])
    small, large = Saying("small", known), Saying("big", crawl.true, 0.5)
    replica = Replica(crawl, redis_url, [RulesCaptioner(), small], [large])
    # When a batch is captioned
    pairs = replica.run(*crawl.pairs)
    # Then the large one is asked about the other two, in one call
    assert (small.asked, large.asked) == ([4], [2])
    assert [results(pair)["big"] for pair in pairs] == ["not_needed"] * 2 + ["asked"] * 2
    assert [any(c.model == "big" for c in pair.candidates) for pair in pairs] == [False] * 2 + [
        True
    ] * 2
    # And each pair tells what it cost, and the bar
    traces = [pair.provenance.stages[-1] for pair in pairs]
    assert [(each.tokens, each.cost) for each in traces] == [(120, 0.0)] * 2 + [(240, 0.5)] * 2
    assert all(each.threshold is not None for each in traces)
    assert all(each.captioners[1].model_seconds >= 0 for each in traces)


@pytest.mark.parametrize(("bar", "asked"), [(-1.0, []), (1.0, [4])])
def test_a_bar_that_is_set_holds(
    crawl: Crawl, redis_url: str, bar: float, asked: list[int]
) -> None:
    large = Saying("big", {})
    Replica(crawl, redis_url, [Saying("small", crawl.true)], [large], bar).run(*crawl.pairs)

    assert large.asked == asked


def test_a_caption_that_select_would_refuse_does_not_reach_the_bar(
    crawl: Crawl, redis_url: str
) -> None:
    # Given tags alone, which make captions of two words, and captions that are blank
    large, blank = Saying("big", crawl.true), Saying("blank", dict.fromkeys(crawl.true, " "))
    pairs = [it.model_copy(update={"tags": (Tag(name="star"),)}) for it in crawl.pairs]
    Replica(crawl, redis_url, [RulesCaptioner(), blank], [large], -1.0).run(*pairs)

    assert large.asked == [4]


def test_a_redelivered_batch_has_the_same_candidates_and_costs_nothing(
    crawl: Crawl, redis_url: str
) -> None:
    small, large = Saying("small", dict(list(crawl.true.items())[:2])), Saying("big", crawl.true, 1)
    first = Replica(crawl, redis_url, [small], [large]).run(*crawl.pairs)

    again = Replica(crawl, redis_url, [small], [large]).run(*crawl.pairs)

    assert [pair.candidates for pair in again] == [pair.candidates for pair in first]
    assert (small.asked, large.asked) == ([4], [2])
    assert sum(pair.provenance.stages[-1].cost for pair in again) == 0
    assert results(again[3]) == {"small": "cached", "big": "cached"}


def test_while_the_large_captioner_is_down_the_small_one_is_not_asked_again(
    crawl: Crawl, redis_url: str
) -> None:
    small, large = Saying("small", {}, 0.25), Saying("big", crawl.true, 1)
    small.cache_id = large.cache_id = None
    replica = Replica(crawl, redis_url, [small], [large], cost=100)
    large.failures = 3
    entries = [prepared_entry(replica.stage, at, pair) for at, pair in enumerate(crawl.pairs)]

    bisection(replica.stage).run(entries)

    assert (small.asked, large.asked) == ([4], [4])
    pairs = [record(each.outcome) for each in entries]
    assert [pair.provenance.stages[-1].cost for pair in pairs] == [1.25] * 4


def test_over_the_budget_rules_write_alone_and_the_next_day_captioners_go_on(
    crawl: Crawl, redis_url: str
) -> None:
    # Given a budget for six images, two replicas and batches of four
    small, large = Saying("small", {}), Saying("big", crawl.true, 1)
    small.cache_id = large.cache_id = None
    one, two = (Replica(crawl, redis_url, [small], [large], cost=6) for _ in range(2))
    # When both work
    with logged() as lines:
        batches = [each.run(*crawl.pairs) for each in (one, two, one, two)]
    # Then the budget is spent to its end, and then rules write
    assert large.asked == [4, 2]
    found = [[results(pair)["big"] for pair in pairs] for pairs in batches]
    assert found[1] == ["asked"] * 2 + ["over_budget"] * 2
    assert found[2] == found[3] == ["over_budget"] * 4
    assert {c.kind for pair in batches[3] for c in pair.candidates} == {CaptionKind.RULE}
    assert results(batches[3][0]) == {"small": "over_budget", "big": "over_budget"}
    # And each replica says so once, and is ready
    assert [it["event"][:16] for it in lines] == ["the daily budget"] * 2
    assert (one.stage.ready(), two.stage.ready()) == (None, None)
    assert used_up() == 1
    # And on the next day all goes on
    one.now += timedelta(hours=12)
    with logged() as lines:
        (pair, *_) = one.run(*crawl.pairs)
    assert results(pair) == {"small": "asked", "big": "asked"}
    assert [it["event"][:9] for it in lines] == ["a new day"]


def test_cached_answers_are_used_over_the_budget(crawl: Crawl, redis_url: str) -> None:
    small = Saying("small", crawl.true, 1)
    replica = Replica(crawl, redis_url, [small], cost=4)
    replica.run(*crawl.pairs[:2])
    replica.run(*crawl.pairs[2:])

    (pair, *_) = replica.run(*crawl.pairs)

    assert results(pair) == {"small": "cached"}
    assert small.asked == [2, 2]


def test_metrics_tell_what_each_captioner_took(crawl: Crawl, redis_url: str) -> None:
    before = COST.labels("paid")._value.get()
    replica = Replica(crawl, redis_url, [Saying("paid", {}, 2.0)], cost=8)

    replica.run(*crawl.pairs)
    replica.run(*(it.model_copy(update={"image": it.image}) for it in crawl.pairs[:1]))

    assert COST.labels("paid")._value.get() - before == 8
    assert TOKENS.labels("paid", "input")._value.get() == 400
    assert TOKENS.labels("paid", "output")._value.get() == 80
    assert IMAGES.labels("paid", "asked")._value.get() == 4
    assert IMAGES.labels("paid", "cached")._value.get() == 1
    assert SECONDS.labels("paid")._value.get() > 0


class Digits:
    """A check that masks digits, and refuses texts with a word."""

    name = "digits"

    def check(self, caption: Caption) -> CheckResult:
        return CheckResult(name=self.name, passed=True)

    def mask(self, text: str) -> str | None:
        return None if "secret" in text else "".join("#" if it.isdigit() else it for it in text)


def test_what_a_check_masks_or_refuses_is_nowhere_in_what_recaption_writes(
    crawl: Crawl, redis_url: str
) -> None:
    told = dict(zip(crawl.true, ["call 555 now", "a secret star", "a star", "9"], strict=True))
    lines = (OcrText(text="room 12"), OcrText(text="secret"))
    pairs = [it.model_copy(update={"ocr": lines}) for it in crawl.pairs]
    masks = Masks([*load_checks(SelectPolicy()), Digits()])

    found = Replica(crawl, redis_url, [Saying("one", told)], masks=masks).run(*pairs)

    texts = [[caption.text for caption in pair.candidates] for pair in found]
    assert texts == [["call ### now"], [], ["a star"], ["#"]]
    assert [line.text for pair in found for line in pair.ocr] == ["room ##"] * 4
