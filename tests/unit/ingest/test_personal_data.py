"""Ingest masks personal data in all texts of a pair before it emits or stores the pair."""

from dataclasses import replace

from kaption.schemas import OcrText, Reason
from kaption.workers.checks.check import Masks
from kaption.workers.runtime.stage import Reject
from kaption.workers.safety.personal.mask import personal_masks
from kaption.workers.safety.policy import PersonalDataPolicy
from support.ingest_bench import Bench, emitted, image_bytes, raw

HIDDEN = '<b title="x">A red vase</b>, ask jane&#64;example&#46;org or +49 30 901820'


def test_neither_the_text_as_found_nor_the_clean_one_nor_ocr_keeps_the_data(bench: Bench) -> None:
    given = raw(image_bytes(70), 0, HIDDEN)
    ocr = (OcrText(text="Tel. 030 901820"),)
    given = replace(given, record=given.record.model_copy(update={"ocr": ocr}))
    stage = bench.stage(masks=Masks(personal_masks(PersonalDataPolicy())))

    (outcome,) = bench.run(given, stage=stage)

    pair = emitted(outcome)
    said = pair.model_dump_json()
    assert "jane" not in said
    assert "901820" not in said
    assert pair.masked == ("telephone", "email")
    assert "[e-mail]" in pair.text
    assert pair.ocr[0].masked == ("telephone",)


def test_a_refused_kind_rejects_the_pair(bench: Bench) -> None:
    masks = Masks(personal_masks(PersonalDataPolicy(email="refuse")))

    (outcome,) = bench.run(raw(image_bytes(71), 0, HIDDEN), stage=bench.stage(masks=masks))

    assert isinstance(outcome, Reject)
    assert outcome.reason is Reason.PERSONAL_DATA
    assert "jane" not in outcome.detail
