import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaption.schemas import DetectedObject, OcrText, Tag
from kaption.schemas.evidence import Box
from kaption.workers.captioners.captioner import CaptionContext
from kaption.workers.captioners.rules import RulesCaptioner


def captions(context: CaptionContext) -> dict[str | None, str]:
    (found,) = RulesCaptioner().caption([], [context])
    return {caption.prompt_id: caption.text for caption in found}


DOG = DetectedObject(label="dog", confidence=0.9)
CAR = DetectedObject(label="car", confidence=0.8, attributes=("red", "old"))


@pytest.mark.slow
def test_objects_are_counted_and_listed() -> None:
    context = CaptionContext("x", "en", objects=(DOG, CAR, DOG))

    assert captions(context) == {"rules/objects": "two dogs and a red old car"}


def test_tags_come_most_confident_first_and_doubtful_ones_not_at_all() -> None:
    tags = (Tag(name="beach", confidence=0.6), Tag(name="sun_set", confidence=0.9))
    context = CaptionContext("x", tags=(*tags, Tag(name="dog", confidence=0.2)))

    assert captions(context) == {"rules/tags": "sun set and a beach"}


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


@pytest.mark.parametrize("tag", ["stock photo", "Photo", "IMAGE", "logo", "Bild", "图片", "фото"])
def test_tags_that_are_said_of_every_image_give_no_caption(tag: str) -> None:
    assert captions(CaptionContext("", tags=(Tag(name=tag),))) == {}
    both = CaptionContext("", tags=(Tag(name=tag), Tag(name="cow")))
    assert captions(both) == {"rules/tags": "a cow"}


def test_without_evidence_there_is_no_caption() -> None:
    assert captions(CaptionContext("a fine vase")) == {}


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("person", "two people"),
        ("bus", "two buses"),
        ("puppy", "two puppies"),
        ("wolf", "two wolves"),
        ("roof", "two roofs"),
        ("goose", "two geese"),
        ("cup of tea", "two cups of tea"),
        ("scissors", "two pairs of scissors"),
        ("people", "people"),
        ("dogs", "two dogs"),
    ],
)
def test_plurals_follow_english_spelling(label: str, text: str) -> None:
    things = (DetectedObject(label=label),) * 2

    assert captions(CaptionContext("", objects=things)) == {"rules/objects": text}


@pytest.mark.parametrize(
    ("label", "text"),
    [
        *[("hourglass", "an hourglass"), ("unicorn", "a unicorn"), ("umbrella", "an umbrella")],
        *[("wine glass", "a wine glass"), ("green grass", "green grass")],
        ("piece of art", "a piece of art"),
        *[("SUV", "an SUV"), ("European bison", "a European bison"), ("FBI agent", "an FBI agent")],
        *[("grass", "grass"), ("jeans", "jeans"), ("dogs", "dogs")],
    ],
)
def test_one_thing_has_the_article_that_its_sound_asks_for(label: str, text: str) -> None:
    things = (DetectedObject(label=label),)

    assert captions(CaptionContext("", objects=things)) == {"rules/objects": text}


@pytest.mark.parametrize(
    ("tags", "text"),
    [
        ("dog, animal, pet, dogs", "a dog"),
        ("Dogs, DOG", "a dog"),
        ("dogs", "dogs"),
        ("kitten, cat, feline, mammal", "a kitten"),
        ("Golden Retriever, dog, pet", "a golden retriever"),
        ("car, automobile, vehicle, street, road", "a car and a street"),
        ("sofa, couch, furniture", "a sofa"),
        ("rose, flower, plant, red", "a rose and red"),
        ("wooden table, table, furniture", "a wooden table"),
        ("red_car, car", "a red car"),
        ("men, man, people", "a man"),
        ("wolves, wolf", "a wolf"),
        ("zebu, zebus", "zebu"),
        ("hot dog, food", "a hot dog"),
        ("grass, plant, field", "grass and a field"),
        ("glasses, eyewear", "glasses"),
        ("TV, television", "a TV"),
        ("SUV, car, vehicle", "an SUV"),
    ],
)
def test_a_thing_is_said_once_by_its_narrowest_tag(tags: str, text: str) -> None:
    context = CaptionContext("x", "en", tags=tuple(Tag(name=each) for each in tags.split(", ")))

    assert captions(context) == {"rules/tags": text}


@pytest.mark.parametrize("name", ["Eiffel Tower", "BMW", "White House", "Golden Gate Bridge"])
def test_a_name_among_the_tags_stays_as_it_is(name: str) -> None:
    tags = (Tag(name=name), Tag(name="dog"))

    assert captions(CaptionContext("x", "en", tags=tags)) == {"rules/tags": f"{name} and a dog"}


def test_tags_beside_a_text_in_another_language_are_not_touched() -> None:
    tags = tuple(Tag(name=name) for name in ("Hund", "Hunde", "Tier", "Dog"))

    assert captions(CaptionContext("x", "de", tags=tags)) == {
        "rules/tags": "Hund, Hunde, Tier, Dog"
    }


@pytest.mark.slow
@settings(max_examples=50)
@given(st.lists(st.text(min_size=1, max_size=12), max_size=6))
def test_any_tags_and_labels_are_captioned(names: list[str]) -> None:
    context = CaptionContext(
        "x",
        "en",
        tags=tuple(Tag(name=name) for name in names),
        objects=tuple(DetectedObject(label=name) for name in [*names, *names]),
    )

    assert all(text.strip() for text in captions(context).values())


def test_lines_of_text_are_quoted_in_reading_order() -> None:
    lines = [("national fair", 0.3), ("The great inter-", 0.1), ("June 12", 0.5)]
    seen = tuple(
        OcrText(text=text, box=Box(left=0.1, top=top, right=0.9, bottom=top + 0.1))
        for text, top in lines
    )

    assert captions(CaptionContext("", ocr=seen)) == {
        "rules/objects-ocr": 'the text "The great international fair June 12"',
        "rules/alt-ocr": 'the text "The great international fair June 12"',
    }
