"""A copy that brings a better alt text later makes a new version of its image's pair."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import open_clip
import pytest

from kaption.consumers import ShardStream
from kaption.consumers.training.batches import TrainingBatches
from kaption.consumers.training.examples import ExampleMaker
from kaption.consumers.training.images import ImageTransform
from kaption.consumers.training.tokens import TextTokens
from kaption.objectstore.folder import FolderStore
from kaption.schemas import (
    CleanPair,
    ImageSource,
    IngestedPair,
    Position,
    RawPair,
    Reason,
    Takedown,
    TakedownKind,
    Versioned,
)
from kaption.schemas.letterbox import Letterbox
from kaption.testing.records import raw_pair
from kaption.workers.demo.painting import render
from kaption.workers.demo.scenes import describe, random_scene
from kaption.workers.models.open_clip import DEMO_FOLDER
from kaption.workers.runtime.stage import Emit, Incoming, Outcome, Reject
from kaption.workers.settings import Settings
from kaption.workers.wiring import AnyStage, build_stage, build_takedowns
from support.model_stages import NOW
from support.stream_records import write_shards

pytestmark = pytest.mark.slow

BOX = Letterbox(32, 32, "bicubic", (0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
SCENES = [random_scene(random.Random(seed), 4 / 3) for seed in range(4)]
TRUE = describe(SCENES[0])
VAGUE = "a picture with a thing in it"


class Stages:
    """Ingest, score, recaption and select, with all that the engine does around them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.read: Counter[str] = Counter()
        """How many messages each topic has."""
        self._open = ExitStack()
        self.restart()

    def restart(self) -> None:
        """What workers hold in memory is gone."""
        self._open.close()
        self.stages = {
            name: self._stage(name) for name in ("ingest", "score", "recaption", "select")
        }

    def close(self) -> None:
        self._open.close()

    def _stage(self, name: str) -> AnyStage:
        stage = build_stage(name, self.settings)
        stage.setup()
        self._open.callback(stage.close)
        return stage

    def step(self, name: str, message: Incoming[Versioned]) -> Outcome:
        stage = self.stages[name]
        try:
            return stage.process([(message, stage.prepare(message))])[0]
        except Reject as reject:
            return reject

    def message(self, record: Versioned, origin: Position, topic: str) -> Incoming[Versioned]:
        self.read[topic] += 1
        return Incoming(record, origin, Position(topic, 0, self.read[topic]))

    def through(
        self, record: Versioned, origin: Position, topic: str = "pairs.raw"
    ) -> tuple[CleanPair | Reject, list[tuple[str, Incoming[Versioned]]]]:
        """The outcome of a record, and each stage with the message that it read."""
        steps = []
        while True:
            (name,) = (n for n, stage in self.stages.items() if _reads(stage, topic))
            steps.append((name, self.message(record, origin, topic)))
            outcome = self.step(*steps[-1])
            if isinstance(outcome, Reject):
                return outcome, steps
            assert isinstance(outcome, Emit)
            (to, record) = outcome.outputs[0]
            topic = to.name
            if isinstance(record, CleanPair):
                return record, steps


def _reads(stage: AnyStage, topic: str) -> bool:
    return topic in {each.name for each in stage.inputs}


def raw(scene: int, offset: int, text: str, quality: int = 90) -> tuple[RawPair, Position]:
    file = BytesIO()
    render(SCENES[scene], 256, random.Random(scene)).save(file, "JPEG", quality=quality)
    page = f"https://page-{offset}.example/"
    image = ImageSource(inline=file.getvalue())
    pair = raw_pair(offset, text=text, image=image, page_url=page, pair_id=f"pair-{offset}")
    return pair, Position("pairs.raw", 0, offset, "A" * 22)


@pytest.fixture
def stages(redis_url: str, tmp_path: Path) -> Iterator[Stages]:
    """With three pairs of other images, and the pair of scene 0 with a vague text."""
    made = Stages(
        Settings.model_validate(
            {
                "redis": {"url": redis_url},
                "store": {"url": str(tmp_path / "store")},
                "clip": {"model": "demo", "device": "cpu"},
                "recaption": {"captioners": ["rules"]},
                "select": {"audit_fraction": 0.0, "min_score": 0.0},
                "ingest": {
                    "text": {"detect_languages": ["en"]},
                    "image": {"decode_processes": 1},
                    "dedup": {"later_texts": True},
                },
            }
        )
    )
    for scene in range(1, 4):
        made.through(*raw(scene, 100 + scene, describe(SCENES[scene])))
    yield made
    made.close()


def published(found: tuple[CleanPair | Reject, object]) -> CleanPair:
    assert isinstance(found[0], CleanPair), found[0]
    return found[0]


def refused(found: tuple[CleanPair | Reject, object]) -> tuple[Reason, str]:
    assert isinstance(found[0], Reject), found[0]
    return found[0].reason, found[0].detail


@pytest.mark.parametrize("quality", [90, 70])
def test_training_reads_the_version_with_the_later_and_better_text(
    stages: Stages, tmp_path: Path, quality: int
) -> None:
    # Given a pair with a vague text, which is published
    kept = raw(0, 0, VAGUE)
    first = published(stages.through(*kept))

    # When an exact or near copy comes with a true text, and others with worse texts
    copies = [
        raw(0, n, text, quality) for n, text in enumerate([TRUE, VAGUE, "a wall of bricks"], 1)
    ]
    second = published(stages.through(*copies[0]))
    rest = [refused(stages.through(*copy))[0] for copy in copies[1:]]

    # Then the pair has a new version with the copy's text, and the others are duplicates
    assert (first.version, first.captions[0].text) == (1, VAGUE)
    assert (second.version, second.captions[0].text) == (2, TRUE)
    assert (second.pair_id, second.dedup.owner) == (first.pair_id, first.dedup.owner)
    assert second.captions[0].source is not None
    assert second.captions[0].source.page_url == "https://page-1.example/"
    assert set(rest) <= {Reason.DUPLICATE, Reason.NEAR_DUPLICATE}
    # And a training batch has the newer version alone
    objects = FolderStore(tmp_path / "store")
    shards = [
        [Incoming(pair, kept[1], Position("pairs.clean", 0, at))]
        for at, pair in enumerate((first, second))
    ]
    write_shards(objects, tmp_path, shards)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{DEMO_FOLDER}")
    examples = ExampleMaker(TextTokens(tokenizer), ImageTransform(BOX))
    (batch,) = TrainingBatches(ShardStream(objects), examples, batch_size=4, pool_batches=1)
    assert batch.texts == [TRUE]


def test_a_crash_and_replays_change_no_version(stages: Stages) -> None:
    # Given a published pair, and a copy with a better text
    kept = raw(0, 0, VAGUE)
    _, steps_of_kept = stages.through(*kept)
    copy = raw(0, 1, TRUE)
    found, steps = stages.through(*copy)

    # When every stage dies before its commit, and gets the same messages from new workers
    stages.restart()
    again = {name: stages.step(name, message) for name, message in steps}

    # Then ingest sends the pair once more, and it has the same version
    ingested, clean = again["ingest"], again["select"]
    assert isinstance(ingested, Emit)
    assert isinstance(ingested.outputs[0][1], IngestedPair)
    assert isinstance(clean, Emit)
    assert isinstance(clean.outputs[0][1], CleanPair)
    assert (published((found, steps)).version, clean.outputs[0][1].version) == (2, 2)
    late = stages.step(*steps_of_kept[-1])
    assert isinstance(late, Emit)
    assert isinstance(late.outputs[0][1], CleanPair)
    assert late.outputs[0][1].version == 1
    # And a replay of the copy changes nothing, one of the pair publishes the best text again
    assert refused(stages.through(*copy))[0] is Reason.DUPLICATE
    replayed = published(stages.through(*kept))
    assert (replayed.version, replayed.captions[0].text) == (2, TRUE)


def test_a_takedown_of_the_copy_or_of_the_pair_holds_for_the_version(stages: Stages) -> None:
    # Given a published pair, and a copy whose text is on its way to select
    kept, copy = raw(0, 0, VAGUE), raw(0, 1, TRUE)
    stages.through(*kept)
    _, steps = stages.through(*copy)
    select = replace(steps[-1][1], position=Position("pairs.captioned", 0, 999))

    # When a takedown covers the copy's page
    takedowns = build_takedowns(stages.settings)
    for page, reason in (
        ("page-1.example", Reason.DUPLICATE),
        ("page-0.example", Reason.TAKEN_DOWN),
    ):
        takedown = Takedown(kind=TakedownKind.DOMAIN, value=page, requested_at=NOW)
        takedowns.add([takedown.takedown_id])

        # Then its text is not published, and after a takedown of the pair nothing is
        outcome = stages.step("select", select)
        assert isinstance(outcome, Reject)
        assert outcome.reason is reason
