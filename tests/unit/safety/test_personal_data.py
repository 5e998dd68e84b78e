"""Masks of personal data: what they find in texts of many countries, and what they leave alone."""

import tomllib
from pathlib import Path

import pytest

from kaption.schemas import Caption, CaptionKind, OcrText, Reason
from kaption.workers.checks.check import Masks
from kaption.workers.runtime.stage import Reject
from kaption.workers.safety.personal.mask import PersonalMask, personal_masks
from kaption.workers.safety.policy import PersonalDataPolicy
from support.alt_texts import SOUND

SAMPLE = tomllib.loads(
    (Path(__file__).parents[3] / "tools/evaluate/personal_data.toml").read_text("utf-8")
)
EVERY = Masks(personal_masks(PersonalDataPolicy(address="mask")))


@pytest.mark.parametrize("kind", ["email", "telephone", "card", "iban", "national_id"])
def test_at_least_19_of_20_of_each_kind_are_masked(kind: str) -> None:
    texts = SAMPLE["positive"][kind]

    missed = [text for text in texts if PersonalMask(kind).mask(text) == text]

    assert len(missed) <= len(texts) / 20, missed


def test_sound_texts_stay_as_they_are() -> None:
    texts = [*SAMPLE["negative"]["texts"], *(text for each in SOUND.values() for text in each)]

    changed = [EVERY.text(text) for text in texts if EVERY.text(text).by]

    assert changed == []


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Call +1 (555) 123-4567 now!", "Call [telephone] now!"),
        ("(0049) 30 901820, ask Ann", "[telephone], ask Ann"),
        ("M: 415 555 2671 | E: joe@x.com", "M: [telephone] | E: [e-mail]"),
        ("هاتف: ٠٥٠١٢٣٤٥٦٧ للبيع", "هاتف: [telephone] للبيع"),
        ("Spenden: DE89 3704 0044 0532 0130 00 bitte", "Spenden: [IBAN] bitte"),
        ("4111.1111.1111.1111", "[card]"),
        # Letters of these scripts carry marks that are letters to nobody but people
        ("लिखें: दीपक@उदाहरण.भारत", "लिखें: [e-mail]"),
        ("ส่งที่ สมชาย@ตัวอย่าง.ไทย", "ส่งที่ [e-mail]"),
        ("ИНН 500100732259, Москва", "ИНН [ID number], Москва"),
        ("個人番号 1234 5678 9018", "個人番号 [ID number]"),
        ("Cédula No. 001-1391820-5", "Cédula No. [ID number]"),
        ("Sold: 221B Baker Street, London NW1 6XE", "Sold: [address]"),
    ],
)
def test_only_the_data_give_way_to_a_mark(text: str, masked: str) -> None:
    found = EVERY.text(text)

    assert found.text == masked
    assert EVERY.text(masked).by == ()  # a text that comes again stays as it is


def test_a_kind_can_be_left_alone_or_refused() -> None:
    masks = Masks(personal_masks(PersonalDataPolicy(email="off", card="refuse")))

    assert masks.text("a@b.org") == ("a@b.org", ())
    with pytest.raises(Reject) as refused:
        masks.text("pay by 4111 1111 1111 1111")
    assert refused.value.reason is Reason.PERSONAL_DATA
    assert "4111" not in refused.value.detail


def test_a_caption_says_what_was_masked_and_a_refused_one_is_left_out() -> None:
    masks = Masks(personal_masks(PersonalDataPolicy(card="refuse")))
    texts = ("a card of a@b.org", "card 4111111111111111", "a red vase")
    captions = [Caption(text=text, kind=CaptionKind.VLM) for text in texts]

    kept = masks.each(captions, pass_over=True)

    assert [(each.text, each.masked) for each in kept] == [
        ("a card of [e-mail]", ("email",)),
        ("a red vase", ()),
    ]
    with pytest.raises(Reject):
        masks.each([OcrText(text=texts[1])])
