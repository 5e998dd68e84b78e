"""Runbooks of the alerts about models and captioners, carried out on real servers."""

from __future__ import annotations

import html
import json
import os
from functools import partial
from pathlib import Path

import pytest

from kaption.objectstore import BlobStore, blob_key, open_store
from kaption.schemas import CaptionedPair, CaptionKind, Tag
from kaption.schemas.topics import CAPTIONED, INGESTED, SCORED
from kaption.testing.records import ingested_pair, jpeg, scored_pair, store_image
from support.chart import ROOT
from support.deployment import Deployment
from support.engine import until
from support.runbooks import (
    REPLAY_DEAD,
    REPORT,
    STATUS,
    carries_out,
    found,
    ingested,
    pair,
    watched,
    written,
)

pytestmark = pytest.mark.integration


@carries_out("KaptionStageMissing", "KaptionRecordsDie")
def test_a_model_is_missing_and_an_image_is_damaged(ingest: Deployment, tmp_path: Path) -> None:
    # Given records for score, one with a damaged image, and no model
    emitted = pair("emitted")
    ingest.publish([emitted])
    assert ingested(ingest, [emitted])
    store = open_store(ingest.s3.connection())
    sound, damaged = (store_image(BlobStore(store), number) for number in (2000, 2001))
    key, client = blob_key(damaged.blob.sha256), ingest.s3.client()
    client.put_object(Bucket=ingest.s3.name, Key=key, Body=b"damaged")
    ingest.send(INGESTED, ingested_pair(2000, image=sound), ingested_pair(2001, image=damaged))
    outcomes = "kaption_outcomes_total"
    sent = partial(watched, ingest, "KaptionStageMissing", outcomes, outcome="emitted")
    assert until(lambda: sent() > 0, 60)
    nowhere = f"local-dir:{tmp_path}/nowhere"
    with ingest.beside("score", tmp_path, KAPTION_CLIP__MODEL=nowhere) as score:
        # Then the last line of the worker's log says why it ended
        assert until(lambda: score.worker.ended == 1, 120)
        assert nowhere in score.log.splitlines()[-1]
        # When it gets a model, then it works
        del score.settings["KAPTION_CLIP__MODEL"]
        score.start()
        assert until(lambda: ingested_pair(2000).pair_id in found(score, SCORED), 120)
        # And the damaged image makes a dead letter, which log and report tell
        assert until(lambda: watched(score, "KaptionRecordsDie", outcomes, outcome="dead") == 1, 60)
        (line,) = [line for line in score.log.splitlines() if '"dead letter"' in line]
        error = json.loads(line)["error"]
        score.does(written("KaptionRecordsDie", REPORT))
        assert error in html.unescape((tmp_path / "report.html").read_text("utf-8"))
        # When it is repaired and replayed, then it is processed
        client.put_object(Bucket=ingest.s3.name, Key=key, Body=jpeg(2001))
        replay = written("KaptionRecordsDie", REPLAY_DEAD)
        assert "1 records published" in score.does(f"{replay} --reason {damaged.blob.sha256}")
        assert until(lambda: ingested_pair(2001).pair_id in found(score, SCORED), 60)


NARROW = """
from kaption.workers.captioners import transformers
from kaption.workers.policy.recaption import RecaptionPolicy
from kaption.workers.runtime.stage import OutOfMemory

def build(policy: RecaptionPolicy):
    captioner = transformers.build(policy)
    caption = captioner.caption
    def narrow(images, contexts):
        if len(images) > 2:
            raise OutOfMemory(f"{len(images)} images")
        return caption(images, contexts)
    captioner.caption = narrow
    return captioner
"""
"""A captioner on a device whose memory takes two images."""


@carries_out("KaptionBatchTooLarge", "KaptionBudgetUsedUp")
def test_batches_and_budget_of_captioners(ingest: Deployment, tmp_path: Path) -> None:
    # Given a captioner whose device takes two images, a larger batch, and a small budget
    (tmp_path / "narrow.py").write_text(NARROW)
    own = {
        "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}",
        "KAPTION_RECAPTION__CAPTIONERS": '["rules", "narrow:build"]',
        "KAPTION_RECAPTION__BATCH_RECORDS": "8",
        "KAPTION_RECAPTION__DAILY_BUDGET": '{"tokens": 1}',
    }
    blobs = BlobStore(open_store(ingest.s3.connection()))

    def captioned(first: int) -> set[CaptionKind]:
        """The kinds of captions of eight new pairs."""
        tags = (Tag(name="bicycle", confidence=0.9), Tag(name="street", confidence=0.9))
        records = [
            scored_pair(each, image=store_image(blobs, each), tags=tags)
            for each in range(first, first + 8)
        ]
        ingest.send(SCORED, *records)
        ids = {record.pair_id for record in records}
        assert until(lambda: ids <= found(ingest, CAPTIONED).keys(), 120)
        every = [found(ingest, CAPTIONED)[each] for each in ids]
        return {
            caption.kind
            for record in every
            if isinstance(record, CaptionedPair)
            for caption in record.candidates
        }

    with ingest.beside("recaption", tmp_path, **own) as recaption:
        limit = partial(watched, recaption, "KaptionBatchTooLarge", "kaption_batch_limit_records")
        used_up = partial(
            watched, recaption, "KaptionBudgetUsedUp", "kaption_captioner_budget_used_up"
        )
        captioned(3000)
        # Then the metrics name the batch that fits, and the budget; rules alone write captions
        assert until(lambda: used_up() == 1, 60)
        assert captioned(3010) == {CaptionKind.RULE}
        fits = limit()
        assert 0 < fits <= 2
        assert "The daily budget is used up" in recaption.does(
            written("KaptionBudgetUsedUp", STATUS)
        )
        # When the settings are changed as the runbooks say
        recaption.stop()
        recaption.settings["KAPTION_RECAPTION__BATCH_RECORDS"] = f"{fits:.0f}"
        recaption.settings["KAPTION_RECAPTION__DAILY_BUDGET"] = '{"tokens": 1000000}'
        recaption.start()
        # Then every batch fits, and the model writes captions again
        assert CaptionKind.VLM in captioned(3020)
        assert (limit(), used_up()) == (0, 0)
