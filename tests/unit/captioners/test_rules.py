import pytest

from kaption.schemas import DetectedObject, OcrText, Tag
from kaption.workers.captioners.captioner import CaptionContext
from kaption.workers.captioners.rules import RulesCaptioner


def captions(context: CaptionContext) -> dict[str | None, str]:
    (found,) = RulesCaptioner().caption([], [context])
    return {caption.prompt_id: caption.text for caption in found}


DOG = DetectedObject(label="dog", confidence=0.9)
CAR = DetectedObject(label="car", confidence=0.8, attributes=("red", "old"))


def test_objects_are_counted_and_listed() -> None:
    context = CaptionContext("x", "en", objects=(DOG, CAR, DOG))

    assert captions(context) == {"rules/objects": "two dogs and a red old car"}


def test_tags_come_most_confident_first_and_doubtful_ones_not_at_all() -> None:
    tags = (Tag(name="beach", confidence=0.6), Tag(name="sun_set", confidence=0.9))
    context = CaptionContext("x", tags=(*tags, Tag(name="dog", confidence=0.2)))

    assert captions(context) == {"rules/tags": "sun set and beach"}


def test_text_in_the_image_is_quoted_after_objects_and_alt_text() -> None:
    context = CaptionContext("Shop window.", ocr=(OcrText(text=" SALE  50 % "),), objects=(CAR,))

    assert captions(context) == {
        "rules/objects": "a red old car",
        "rules/objects-ocr": 'a red old car, with the text "SALE 50 %"',
        "rules/alt-ocr": 'Shop window, with the text "SALE 50 %"',
    }


def test_an_alt_text_that_has_the_words_already_is_not_repeated() -> None:
    context = CaptionContext("Big SALE sign", ocr=(OcrText(text="sale"),))

    assert captions(context) == {"rules/objects-ocr": 'the text "sale"'}


def test_other_languages_get_no_english_words() -> None:
    context = CaptionContext(
        "Rotes Auto",
        "de",
        tags=(Tag(name="Straße"),),
        ocr=(OcrText(text="HALT"),),
        objects=(DetectedObject(label="Auto"), DetectedObject(label="Hund")),
    )

    assert captions(context) == {
        "rules/objects": "Auto, Hund",
        "rules/tags": "Straße",
        "rules/objects-ocr": 'Auto, Hund, "HALT"',
        "rules/alt-ocr": 'Rotes Auto, "HALT"',
    }


def test_without_evidence_there_is_no_caption() -> None:
    assert captions(CaptionContext("a fine vase")) == {}


@pytest.mark.parametrize(
    ("label", "text"), [("person", "two people"), ("bus", "two buses"), ("puppy", "two puppies")]
)
def test_plurals_follow_english_spelling(label: str, text: str) -> None:
    things = (DetectedObject(label=label),) * 2

    assert captions(CaptionContext("", objects=things)) == {"rules/objects": text}
