"""Names and numbers of an alt text are not lost in select, though its scorer knows none of them."""

import pytest

from kaption.schemas import Caption, CaptionKind
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.stages.select.grounding import grounded
from kaption.workers.stages.select.names import names_in, told
from kaption.workers.stages.select.ranking import rank

WHOLE = "a large red circle on a wooden table in the morning light"


def caption(text: str, specificity: float, kind: CaptionKind = CaptionKind.FUSED) -> Caption:
    return Caption(text=text, kind=kind, score=0.5, specificity=specificity)


@pytest.mark.parametrize(
    ("alt_text", "names"),
    [
        ("a red circle, photo by Rosa O’Neill", {"rosa", "o’neill"}),  # noqa: RUF001 (an apostrophe of pages)
        ("Oslo: a red circle, no. 42", {"oslo", "42"}),
        ("sunset in 1987 over the A40", {"1987", "a40"}),
        ("Müller in Zürich", {"müller", "zürich"}),
        ("A Large Red Circle On A Road In 1987", {"1987"}),
        ("IMG_2044.JPG", {"img", "2044.jpg"}),
        ("Red circle", set()),
        ("a circle", set()),
        ("", set()),
        ("赤い円", set()),
    ],
)
def test_names_are_words_with_a_capital_or_a_digit(alt_text: str, names: set[str]) -> None:
    assert names_in(alt_text) == names


def test_a_name_is_found_in_any_case_and_as_a_whole_word() -> None:
    names = names_in("by Rosa in Oslo, 42")

    assert told("by rosa, OSLO 1942, rosary", names) == {"rosa", "oslo"}


@pytest.mark.parametrize(
    ("kind", "kept"), [(CaptionKind.FUSED, 2), (CaptionKind.VLM, 1), (CaptionKind.RULE, 1)]
)
def test_only_a_fused_caption_that_tells_a_name_more_stays_beside_an_equal_one(
    kind: CaptionKind, kept: int
) -> None:
    plain = caption(WHOLE, 0.4, CaptionKind.VLM)
    named = caption(f"{WHOLE}, Oslo", 0.3, kind)

    assert len(rank([plain, named], SelectPolicy(), 0.0, names=names_in("in Oslo"))) == kept
    assert rank([plain, named], SelectPolicy(), 0.0, names=names_in("in Rome")) == [plain]


@pytest.mark.parametrize(
    ("said", "kind", "left"),
    [
        ("a red circle on a road, Oslo", CaptionKind.FUSED, "a red circle on a road, Oslo"),
        ("a red circle on a road, Oslo", CaptionKind.VLM, "a red circle on a road"),
        ("a red circle on a road, lovely", CaptionKind.FUSED, "a red circle on a road"),
    ],
)
def test_a_fused_caption_keeps_a_name_that_the_scorer_is_better_without(
    said: str, kind: CaptionKind, left: str
) -> None:
    def measure(located):
        return [less.model_copy(update={"score": 0.6, "specificity": 0.5}) for _, less in located]

    ((found,),) = grounded(
        [[caption(said, 0.2, kind)]],
        measure,
        lambda _, less: less if "road" in less.text else None,
        [names_in("Oslo, a circle")],
    )

    assert found.text == left
