"""Each example of a plug-in passes its suite, found by its dotted name through the loader."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import own_stage
from kaption.connections.errors import Fatal
from kaption.producers.sources import Source, Unreadable
from kaption.schemas import CleanPair, RawPair
from kaption.testing.captioners import CaptionerConformance, Make
from kaption.testing.checks import CheckConformance
from kaption.testing.records import blob_ref, clean_pair, image_ref, incoming
from kaption.testing.scorers import ScorerConformance
from kaption.testing.sources import SourceConformance, Write
from kaption.testing.stages import StageConformance
from kaption.workers.captioners.captioner import CaptionContext
from kaption.workers.plugins import load_checks, load_scorer
from kaption.workers.policy.recaption import RecaptionPolicy
from kaption.workers.policy.score import ClipPolicy
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.runtime.stage import Emit
from kaption.workers.settings import Settings
from kaption.workers.wiring import AnyStage, build_stage
from own_captioner import ColourCaptioner
from own_source import CocoCaptions
from support.tiny_models import tiny_transformers_clip


class TestOwnCaptioner(CaptionerConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def policy(cls) -> RecaptionPolicy:
        name = "own_captioner:ColourCaptioner"
        return RecaptionPolicy(captioners=(name,), settings={name: {"most": 2}})

    def test_it_names_the_colours_that_there_is_most_of(self, make: Make) -> None:
        image = Image.new("RGB", (90, 30), (250, 250, 250))
        image.paste((210, 20, 40), (0, 0, 30, 30))

        ((caption,),) = make().caption([image], [CaptionContext("")])

        assert caption.text == "an image in white and red"
        assert caption.model == ColourCaptioner.model


class TestOwnCheck(CheckConformance):
    refused = ("Lorem ipsum dolor sit amet", "a vase, IPSUM")

    @pytest.fixture(scope="class")
    @classmethod
    def policy(cls) -> SelectPolicy:
        return SelectPolicy(checks=("own_check:BannedWords",))

    def test_the_words_can_be_set(self) -> None:
        name = "own_check:BannedWords"
        policy = SelectPolicy(checks=("all", name), settings={name: {"words": ["vase"]}})

        banned = load_checks(policy)[-1]

        assert vars(banned) == {"_banned": {"vase"}}


class TestOwnSource(SourceConformance):
    @pytest.fixture
    def format_(self) -> str:
        return "own_source:CocoCaptions"

    @pytest.fixture
    def write(self) -> Write:
        return coco

    def test_an_annotation_without_its_image_is_told(self, source: Source) -> None:
        items = [found.item for found in source.read()]

        assert [type(item) for item in items] == [RawPair, Unreadable, RawPair]
        assert [item.text for item in items if isinstance(item, RawPair)] == ["a dog", "two cats"]

    def test_it_knows_its_files_by_their_name(self, location: str) -> None:
        assert CocoCaptions.recognises(location)
        assert not CocoCaptions.recognises("instances_val2017.json")


class TestOwnScorer(ScorerConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def policy(cls, tmp_path_factory: pytest.TempPathFactory) -> ClipPolicy:
        folder = tiny_transformers_clip(tmp_path_factory.mktemp("clip"))
        return ClipPolicy(
            scorer="own_scorer:TransformersClip",
            settings={"model": str(folder), "recommended_score": 0.25, "device": "cpu"},
        )

    def test_its_settings_are_checked(self) -> None:
        with pytest.raises(Fatal, match=r"own_scorer:TransformersClip': model: Field required"):
            load_scorer(ClipPolicy(scorer="own_scorer:TransformersClip"))


class TestOwnStage(StageConformance):
    reads_images = False

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls) -> AnyStage:
        return build_stage("own_stage:SplitStage", Settings())

    def test_its_share_is_held_out_by_image(self) -> None:
        name = "own_stage:SplitStage"
        stage = build_stage(name, Settings(stages={name: {"validation": 0.25}}))
        pairs = [clean_pair(n, image=image_ref(blob_ref(n % 400))) for n in range(800)]

        sides = [side(stage, pair) for pair in pairs]

        assert sides[:400] == sides[400:]
        assert np.isclose(sides.count(own_stage.VALIDATION.name) / 800, 0.25, atol=0.08)


def side(stage: AnyStage, pair: CleanPair) -> str:
    message = incoming(pair)
    (outcome,) = stage.process([(message, stage.prepare(message))])
    assert isinstance(outcome, Emit)
    ((topic, _),) = outcome.outputs
    return topic.name


def coco(folder: Path) -> str:
    """Two images, and an annotation of a third that is not there."""
    url = "http://images.cocodataset.org/val2017/{}.jpg"
    content = {
        "images": [{"id": number, "coco_url": url.format(number)} for number in (1, 2)],
        "annotations": [
            {"id": 11, "image_id": 1, "caption": "a dog"},
            {"id": 12, "image_id": 3, "caption": "nobody knows"},
            {"id": 13, "image_id": 2, "caption": "two cats"},
        ],
    }
    path = folder / "captions_val2017.json"
    path.write_text(json.dumps(content))
    return str(path)
