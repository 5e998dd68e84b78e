"""Label Studio's tasks and exports, and the bound that a report sets."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from kaption.schemas import CleanPair
from kaption.schemas.topics import AUDITED, CLEAN
from kaption.workers.audit.label_studio import LABEL_CONFIG, NotAnExport, export, load
from kaption.workers.local import Tansu
from kaption.workers.policy.score import ThresholdPolicy
from kaption.workers.stages.thresholds import Thresholds
from kaption.workers.stores.cosines import Cell, CosineStore
from support.auditing import AuditSite, audit_site

pytestmark = pytest.mark.slow


@pytest.fixture
def site(tansu: Tansu, topic_prefix: str, redis_url: str, tmp_path: Path) -> AuditSite:
    made = audit_site(tansu.bootstrap, topic_prefix, redis_url, tmp_path)
    for number in range(4):
        made.publish(number)
    return made


def annotated(task: dict[str, Any], verdict: str, text: str, **changed: Any) -> dict[str, Any]:
    """The task as https://labelstud.io/guide/task_format exports it."""
    results = [
        {
            "value": {"text": [text]},
            "id": "aBc123",
            "from_name": "caption",
            "to_name": "image",
            "type": "textarea",
            "origin": "manual",
        },
        {
            "value": {"choices": [verdict]},
            "id": "dEf456",
            "from_name": "verdict",
            "to_name": "image",
            "type": "choices",
            "origin": "manual",
        },
    ]
    annotation = {
        "id": 1001,
        "completed_by": {"id": 1, "email": "ana+ls@example.org"},
        "result": results,
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2026-03-09T22:16:08.728353Z",
        "lead_time": 4.288,
    }
    return {"id": 1, **task, "annotations": [annotation | changed], "project": 83}


def test_tasks_show_predictions_and_decisions_come_back_once(
    site: AuditSite, tmp_path: Path
) -> None:
    with site.desk() as desk:
        assert export(desk, tmp_path / "out", "/data/local-files/?d=", 10) == 4
        tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
        for task in tasks:
            path = task["data"]["image"].removeprefix("/data/local-files/?d=")
            assert (tmp_path / "out" / path).stat().st_size > 0
            (prediction,) = task["predictions"]
            for each in prediction["result"]:
                assert f'name="{each["from_name"]}" toName="{each["to_name"]}"' in LABEL_CONFIG
        answers = [
            annotated(tasks[0], "accept", "unused"),
            annotated(tasks[1], "edit", "a better text"),
            annotated(tasks[2], "reject", "", completed_by=7),
            annotated(tasks[3], "accept", "", was_cancelled=True),
        ]

        first = load(desk, json.dumps(answers))
        again = load(desk, json.dumps(answers))

    assert first == {"accept": 1, "edit": 1, "reject": 1}
    assert again == {"decided before": 3}
    made = [it for it in site.read(AUDITED) if isinstance(it, CleanPair)]
    assert {it.audit.by for it in made} == {"ana+ls@example.org", "label-studio-7"}
    assert len(made) == 3
    texts = [it.captions[0].text for it in site.read(CLEAN) if isinstance(it, CleanPair)]
    assert "a better text" in texts


def test_the_newest_of_a_person_s_annotations_of_a_task_counts(site: AuditSite) -> None:
    task = {"data": {"pair_id": "pair-0"}}
    later = {"created_at": "2026-03-10T08:00:00.000000Z", "updated_at": "2026-03-12T08:00:00Z"}
    annotations = [
        annotated(task, verdict, text, **changed)["annotations"][0]
        for verdict, text, changed in (
            ("edit", "the last word", later),
            ("accept", "", {"updated_at": "2026-03-11T08:00:00Z"}),
            ("reject", "", {"completed_by": 7, "was_cancelled": True}),
        )
    ]

    with site.desk() as desk:
        made = load(desk, json.dumps([{"id": 1, **task, "annotations": annotations}]))

    assert made == {"edit": 1}
    texts = [it.captions[0].text for it in site.read(CLEAN) if isinstance(it, CleanPair)]
    assert "the last word" in texts


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "{}", "[1]", "[{}]", '[{"data": {}, "annotations": []}]', '[{"image": "x"}]'),
        *("[" * 100_000, "[" * 100 + "]" * 100),
    ],
)
def test_a_file_that_is_no_export_is_told_and_changes_nothing(site: AuditSite, text: str) -> None:
    with site.desk() as desk, pytest.raises(NotAnExport):
        load(desk, text)


@pytest.mark.parametrize("name", ["pair-\ud800", "\udfff", "no such pair"])
def test_a_pair_that_nobody_knows_is_counted_and_the_others_are_judged(
    site: AuditSite, name: str
) -> None:
    site.publish(0)
    tasks = [
        annotated({"data": {"pair_id": each}}, "edit", "half \ud83d a text")
        for each in (name, "pair-0")
    ]

    with site.desk() as desk:
        assert load(desk, json.dumps(tasks)).total() == 2
    (made,) = site.read(AUDITED)
    assert isinstance(made, CleanPair)
    assert made.captions[0].text == "half a text"


@pytest.mark.parametrize("verdict", ["", "Accept", "delete"])
def test_an_annotation_without_a_decision_is_told_before_any_is_carried_out(
    site: AuditSite, verdict: str
) -> None:
    good = annotated({"data": {"pair_id": "pair-0"}}, "accept", "")
    bad = annotated({"data": {"pair_id": "pair-1"}}, verdict, "")
    with site.desk() as desk, pytest.raises(NotAnExport, match="task 1"):
        load(desk, json.dumps([good, bad]))
    assert site.read(AUDITED) == []


def test_the_bound_of_an_audit_holds_in_workers_that_run(redis_url: str) -> None:
    store = CosineStore(redis.Redis.from_url(redis_url), "t:")
    scorer: Any = SimpleNamespace(revision="r1", preprocessing_id="p1", recommended_score=0.2)
    running = Thresholds("select", store, scorer, ThresholdPolicy())
    assert running.of([Cell("en", "crawl"), Cell()]) == [0.2, 0.2]

    store.set_bound(("r1", "p1"), 0.27)
    store.set_bound(("another", "p1"), 0.9)

    assert running.of([Cell("en", "crawl"), Cell()]) == [0.27, 0.27]
    store.set_bound(("r1", "p1"), 0.1)
    assert running.of([Cell()]) == [0.2]
