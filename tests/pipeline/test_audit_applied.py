"""What people decide at the page moves the threshold of a select stage that runs."""

import json
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from starlette.testclient import TestClient

from kaption.consumers import TopicReader
from kaption.objectstore import BlobStore, open_store
from kaption.schemas import CaptionedPair, CleanPair, Reason, RejectedPair, Route
from kaption.schemas.topics import CAPTIONED, CLEAN, REJECTED
from kaption.testing.records import caption, captioned_pair, image_ref
from kaption.workers.demo.painting import render
from kaption.workers.demo.scenes import COLORS, Scene, describe, random_scene
from kaption.workers.local import Tansu
from kaption.workers.settings import Settings
from kaption.workers.wiring import build_stage
from support.auditing import TOKENS, AuditSite, audit_site
from support.engine import Running, until
from support.program import kaption

pytestmark = pytest.mark.slow
JUDGED = 60


@pytest.fixture
def site(tansu: Tansu, topic_prefix: str, redis_url: str, tmp_path: Path) -> AuditSite:
    made = audit_site(tansu.bootstrap, topic_prefix, redis_url, tmp_path)
    changed = {
        "clip": {"model": "demo", "device": "cpu", "threads": 1},
        "select": {"audit_fraction": 1.0, "keep": 1},
    }
    return AuditSite(Settings.model_validate(made.settings.model_dump() | changed))


def pair(site: AuditSite, number: int, *, right: bool) -> CaptionedPair:
    """A scene with a text that is true, or has a wrong colour."""
    scene = random_scene(random.Random(number), 4 / 3)
    file = BytesIO()
    render(scene, 128, random.Random(number)).save(file, "JPEG")
    blob = BlobStore(open_store(site.settings.store)).put(file.getvalue(), "image/jpeg")
    return captioned_pair(
        number,
        caption(describe(scene) if right else wrong(scene), model="writer"),
        clean_text="",
        image=image_ref(blob, width=128, height=96),
        route=Route.NEEDS_CAPTION,
    )


def wrong(scene: Scene) -> str:
    color = scene.objects[0].color
    return describe(scene).replace(color, COLORS[(COLORS.index(color) + 5) % len(COLORS)], 1)


@contextmanager
def selecting(site: AuditSite) -> Iterator[Running]:
    """The stage select, as `kaption work select` runs it."""
    running = Running(build_stage("select", site.settings), site.settings.kafka)
    try:
        yield running
    finally:
        running.stop()


def judge(page: TestClient, right: set[str]) -> int:
    """Ana accepts the texts that are right and rejects the others; the number of decisions."""
    html, made = page.post("login", data={"token": TOKENS["ana"]}).text, 0
    while found := re.search('id="decide"(.*?)</form>', html, re.DOTALL):
        form = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', found[1]))
        (text,) = re.findall("<textarea[^>]*>(.*?)</textarea>", found[1], re.DOTALL)
        verdict = "accept" if text in right else "reject"
        html = page.post("decide", data=form | {"verdict": verdict}).text
        made += 1
    return made


def published(site: AuditSite, running: Running, pairs: Sequence[CaptionedPair]) -> None:
    """Publish pairs for select, and wait until it has judged them."""
    wanted = running.records + len(pairs)
    site.send(CAPTIONED, *pairs)
    assert until(lambda: running.records >= wanted or running.error is not None)
    assert running.error is None


def threshold(record: CleanPair) -> float:
    (trace,) = [each for each in record.provenance.stages if each.stage == "select"]
    assert trace.threshold is not None
    return trace.threshold


def refused(site: AuditSite) -> list[Reason]:
    with TopicReader(site.settings.kafka, [REJECTED]) as reader:
        records = [read.record for read in reader]
    return [each.reason for each in records if isinstance(each, RejectedPair)]


def clean(site: AuditSite) -> dict[str, CleanPair]:
    return {each.pair_id: each for each in site.read(CLEAN) if isinstance(each, CleanPair)}


def test_a_threshold_that_people_s_decisions_ask_for_holds_in_a_worker_that_runs(
    site: AuditSite,
) -> None:
    with selecting(site) as running:
        # Given a sample of which people find a third of the texts wrong
        sample = [pair(site, number, right=number % 3 > 0) for number in range(JUDGED)]
        right = {each.candidates[0].text for at, each in enumerate(sample) if at % 3 > 0}
        published(site, running, sample)
        with site.page() as page:
            assert judge(page, right) == JUDGED
        before = clean(site)

        # When the threshold of their decisions is applied, and more pairs come
        command = ("audit", "report", "--target", "0.95", "--apply", "--json")
        told = kaption(*command, settings=site.environment)
        later = [pair(site, number, right=number % 3 > 0) for number in range(100, 115)]
        published(site, running, later)
        gauge = REGISTRY.get_sample_value("kaption_threshold_bound_cosine", {"stage": "select"})

    # Then no text below it is kept, and the pairs and the metric tell the new threshold
    bound = json.loads(told.stdout)["targets"][0]["threshold"]
    assert gauge == bound > max(threshold(each) for each in before.values())
    new = [each for name, each in clean(site).items() if name not in before]
    assert {threshold(each) for each in new} == {bound}
    assert min(each.captions[0].score or 0 for each in new) >= bound
    assert any((each.captions[0].score or 0) < bound for each in before.values())
    assert len(new) + len(refused(site)) == len(later)
    assert set(refused(site)) == {Reason.LOW_ALIGNMENT}
