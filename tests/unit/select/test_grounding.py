"""What select cuts from captions: details that candidates dispute, phrases that the image lacks."""

from collections.abc import Sequence

import pytest

from kaption.schemas import Caption, CaptionKind, Doubt
from kaption.workers.stages.select.agreement import agreed
from kaption.workers.stages.select.grounding import CLEARLY, Located, grounded
from kaption.workers.stages.select.phrases import noun_phrases, shorter, without_attribute


def said(text: str, kind: CaptionKind = CaptionKind.VLM) -> Caption:
    return Caption(text=text, kind=kind, score=0.5, specificity=0.2)


STREETS = [f"{car} on a black street" for car in ("a red car", "one red car", "a big red car")]


def voted(*texts: str) -> list[str]:
    captions = [said(text) for text in texts]
    return [caption.text for caption in agreed(captions, captions)]


@pytest.mark.parametrize(
    ("texts", "first"),
    [
        (["a large plain red cross", "a large dotted red cross"], "a large red cross"),
        (["a plain orange cross", "a dotted orange cross"], "an orange cross"),
        (["an old green bus", "a new green bus"], "a green bus"),
        (["A tiny cat on a sofa.", "A huge cat on a sofa."], "A cat on a sofa."),
        # Two others agree, so the last is wrong; equal captions have one vote
        (["a red bus", "a red bus on a road", "a big red bus", "a blue bus"], "a red bus"),
        (["a red bus", "a red bus", "a red bus", "a blue bus"], "a bus"),
        # Another word of the same meaning, another detail, or none at all contradict nothing
        (["a big red bus", "a large red bus"], "a big red bus"),
        (["a big red bus", "a red metal bus"], "a big red bus"),
        (["a big red bus", "on a street"], "a big red bus"),
        (["a big red bus", "a small dog", "a blue car"], "a big red bus"),
        # An object that may be another one leaves a list
        (["a red star and a small black ring", "a red star and a small black heart"], "a red star"),
        (["a red star", "a red heart"], "a red star"),  # nothing would remain
    ],
)
def test_a_detail_goes_where_as_many_candidates_contradict_it_as_state_it(
    texts: list[str], first: str
) -> None:
    assert voted(*texts)[0] == first


@pytest.mark.parametrize(
    ("word", "rivals", "left"),
    [
        ("large", ("small",), "a red car on a black street"),
        ("large", ("big", "green", "very"), "a large red car on a black street"),  # exclude nothing
        ("street", ("alley",), "a large red car on a black street"),  # no other candidate says so
        ("street", ("alley", "road"), "a large red car"),
    ],
)
def test_a_detail_goes_where_the_captioner_nearly_wrote_one_that_excludes_it(
    word: str, rivals: tuple[str, ...], left: str
) -> None:
    text = "a large red car on a black street"
    doubt = Doubt(start=text.index(word), rivals=rivals)
    caption = said(text).model_copy(update={"doubts": (doubt,)})
    others = [said("a red car on a black road"), *map(said, STREETS)]

    (found,) = agreed([caption], [caption, *others])

    assert found.text == left
    assert found.doubts == (() if found.cut else caption.doubts)


def test_two_details_go_from_a_list_without_harm_to_the_rest() -> None:
    text = "a red star, a large plain blue ring and a small heart"
    others = ["a red star, a large dotted blue ring and a small cross"]

    assert voted(text, *others)[0] == "a red star and a large blue ring"


@pytest.mark.parametrize("kind", [CaptionKind.ORIGINAL, CaptionKind.HUMAN, CaptionKind.RULE])
def test_texts_of_people_and_rules_are_not_cut_and_have_no_vote(kind: CaptionKind) -> None:
    given = [said("a plain red vase", kind), said("a dotted red vase")]

    assert agreed(given, given) == given


def test_what_was_cut_is_kept_with_the_caption() -> None:
    first, second = said("a plain red vase"), said("a dotted red vase")

    (found,) = agreed([first], [first, second])

    assert found.cut == ("plain",)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("A dog sits. A man waves.", ["A man waves.", "A dog sits."]),
        ("Ein Ball liegt im Gras, daneben ein Hund.", ["Ein Ball liegt im Gras."]),
        ("一只猫坐在沙发上，旁边有一只狗。", ["一只猫坐在沙发上。"]),  # noqa: RUF001  # the punctuation of Chinese
        ("a cat and a dog on a rug", ["a dog on a rug", "a cat on a rug", "a cat and a dog"]),
        ("a cat and a dog sit on a rug", ["a cat and a dog sit"]),
        ("There are a cat and a dog", []),
        ("A vase on a table.", ["A vase."]),
        ("a red vase", []),
        ("", []),
    ],
)
def test_the_rest_without_a_phrase_is_a_whole(text: str, rest: list[str]) -> None:
    assert [each for _, each in shorter(text)] == rest


@pytest.mark.parametrize(
    ("text", "rest"),
    [("a big hourglass", "an hourglass"), ("an old unicorn", "a unicorn"), ("A red owl", "An owl")],
)
def test_the_article_fits_the_next_word(text: str, rest: str) -> None:
    (phrase,) = noun_phrases(text)

    assert without_attribute(text, phrase, phrase.attributes[0]) == rest


def ground(caption: Caption, gain: float, *, accepted: bool = True) -> Caption:
    """With a measure by which each shorter text is better by `gain`."""

    def measure(texts: Located) -> Sequence[Caption]:
        value = (caption.specificity or 0.0) + gain
        return [each.model_copy(update={"specificity": value}) for _, each in texts]

    ((found,),) = grounded(
        [[caption]], measure, lambda _, less: less if accepted else None, [frozenset()]
    )
    return found


def test_a_phrase_goes_that_the_caption_is_clearly_better_without() -> None:
    found = ground(said("A dog sits, beside a cow."), CLEARLY + 0.01)

    assert (found.text, found.cut) == ("A dog sits.", ("beside a cow",))
    assert found.grounding == pytest.approx(-CLEARLY - 0.01)


@pytest.mark.parametrize(
    ("kind", "gain", "accepted"),
    [
        (CaptionKind.VLM, CLEARLY - 0.01, True),
        (CaptionKind.VLM, CLEARLY + 0.01, False),  # too short, for example
        (CaptionKind.ORIGINAL, CLEARLY + 0.01, True),
    ],
)
def test_other_phrases_stay_and_their_value_is_told(
    kind: CaptionKind, gain: float, accepted: bool
) -> None:
    found = ground(said("A dog sits, beside a cow.", kind), gain, accepted=accepted)

    assert (found.text, found.cut) == ("A dog sits, beside a cow.", ())
    assert found.grounding == pytest.approx(-gain)
