"""The prompts of this package, and the order in which prompts are asked."""

from dataclasses import replace

import pytest

from kaption.schemas import Caption, CaptionKind, OcrText, Tag
from kaption.workers.captioners.captioner import CaptionContext
from kaption.workers.captioners.prompts import PROMPT_SETS, SAMPLE, Chain, Prompt, Question
from kaption.workers.checks.leakage import LeakageCheck

PROMPTS = [prompt for prompts in PROMPT_SETS.values() for prompt in prompts]
DENSE = Prompt("own/dense", "Describe it.", "context", ("Text in it: {ocr}.", "Tags: {tags}."))
SHORT = Prompt("own/short", 'Shorten "{dense}"', "appearance")
FUSED = Prompt("own/fused", 'Fuse "{alt_text}" and "{short}"', "fused")


def plain(text: str) -> str:
    return text


def chain(*prompts: Prompt, candidates: int = 5) -> Chain:
    return Chain(prompts, candidates, plain)


def asked(
    made: Chain, context: CaptionContext, *answers: str, broken: bool = False
) -> list[list[Question]]:
    """The questions of each link; the n-th answer to a prompt is the n-th of `answers`."""
    links, captions = [], list[Caption]()
    for link in made.links:
        questions = list(made.questions(link, context, captions))
        links.append(questions)
        for number, question in enumerate(questions):
            told = "" if broken else answers[number % len(answers)] if answers else "a vase"
            captions.append(question.answered(told, "m", "1", truncated=False))
    return links


def texts(links: list[list[Question]]) -> list[list[str]]:
    return [list(dict.fromkeys(each.text for each in link)) for link in links]


def test_ids_are_unique_and_begin_with_their_set() -> None:
    for name, prompts in PROMPT_SETS.items():
        assert all(prompt.id.startswith(f"{name}/") for prompt in prompts)
    assert len({prompt.id for prompt in PROMPTS}) == len(PROMPTS)


# Florence-2 knows its few tasks alone, and none of them is about texture.
@pytest.mark.parametrize("name", sorted(PROMPT_SETS.keys() - {"florence2"}))
def test_every_set_asks_for_appearance_texture_and_context(name: str) -> None:
    aspects = {prompt.aspect for prompt in PROMPT_SETS[name]}

    assert aspects >= {"appearance", "texture", "context"}


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: prompt.id)
def test_only_fused_prompts_take_the_alt_text(prompt: Prompt) -> None:
    assert ("alt_text" in prompt.quotes) == (prompt.aspect == "fused")


@pytest.mark.parametrize(
    "prompt",
    [prompt for prompt in PROMPTS if "see." in prompt.template],
    ids=lambda prompt: prompt.id,
)
def test_a_caption_that_repeats_an_instruction_fails_the_leakage_check(prompt: Prompt) -> None:
    caption = Caption(text=prompt.template, kind=CaptionKind.VLM)

    assert not LeakageCheck().check(caption).passed


def test_an_alt_text_cannot_end_its_quotation() -> None:
    alone = Prompt("own/fused", 'It is called "{alt_text}".', "fused")

    (link,) = asked(chain(alone, candidates=1), CaptionContext('my  "old"\nvase'))

    assert [each.text for each in link] == ["It is called \"my 'old' vase\"."]


def test_a_prompt_is_asked_after_the_one_that_it_quotes() -> None:
    links = asked(chain(FUSED, SHORT, DENSE), CaptionContext("Ming vase"), "a blue vase", "a pot")

    assert texts(links) == [
        ["Describe it."],
        ['Shorten "a blue vase"', 'Shorten "a pot"'],
        ['Fuse "Ming vase" and "a blue vase"'],
    ]
    assert sorted(each.number for link in links for each in link) == [0, 1, 2, 3, 4]


def test_prompts_that_quote_no_answer_wait_for_none() -> None:
    assert len(chain(*PROMPT_SETS["chat"]).links) == 1
    texture = replace(DENSE, id="own/texture")
    assert chain(SHORT, DENSE, texture, FUSED).links == [[DENSE, texture], [SHORT], [FUSED]]


def test_evidence_that_is_missing_or_doubted_is_left_out() -> None:
    sure, unsure = Tag(name="flower_vase", confidence=0.9), Tag(name="cat", confidence=0.1)
    seen = CaptionContext("", tags=(unsure, sure), ocr=(OcrText(text='5 "£"'),))

    assert texts(asked(chain(DENSE), CaptionContext(""))) == [["Describe it."]]
    assert texts(asked(chain(DENSE), seen)) == [
        ["Describe it. Text in it: 5 '£'. Tags: flower vase."]
    ]


def test_without_an_alt_text_or_an_answer_a_prompt_that_needs_it_is_skipped() -> None:
    made = chain(DENSE, SHORT, FUSED, candidates=6)

    nameless = asked(made, CaptionContext("  "))
    silent = asked(made, CaptionContext("vase"), broken=True)

    assert [len(link) for link in nameless] == [3, 3, 0]
    assert [len(link) for link in silent] == [2, 0, 0]
    assert not asked(chain(FUSED), CaptionContext("vase"))[0]


@pytest.mark.parametrize("text", ["{dense}", "{tags} {alt_text}", "{0} {}", "\\1 \\g<0>", "%s {{"])
def test_what_looks_like_a_placeholder_in_a_text_of_the_web_stays(text: str) -> None:
    alone = Prompt("own/fused", "Called: {alt_text}", "fused")

    (link,) = asked(chain(alone, DENSE, candidates=1), CaptionContext(text, tags=(Tag(name="x"),)))

    assert [each.text for each in link] == [f"Called: {text}"]


def test_a_caption_is_fused_where_something_of_the_web_went_into_it() -> None:
    made = chain(DENSE, SHORT, candidates=2)

    seen = asked(made, CaptionContext("", ocr=(OcrText(text="SALE"),)))
    bare = asked(made, CaptionContext(""))

    assert {each.kind for link in seen for each in link} == {CaptionKind.FUSED}
    assert {each.kind for link in bare for each in link} == {CaptionKind.VLM}


def test_special_tokens_are_broken_in_values_and_where_a_value_meets_its_template() -> None:
    def neutral(text: str) -> str:
        return text.replace("<image>", "< image>").replace("[IMG]", "[ IMG]")

    prompts = (Prompt("own/a", "<{alt_text}> {tags}", "fused"), Prompt("own/b", "{a}", "texture"))
    made = Chain(prompts, 2, neutral)
    context = CaptionContext("image", tags=(Tag(name="<image>"),))

    assert texts(asked(made, context, "see [IMG]")) == [
        ["< image> < image>"],
        ["see [ IMG]"],
    ]


@pytest.mark.parametrize(("tag", "name"), [("de-AT", "German"), ("zh", "Chinese"), ("tlh", "tlh")])
def test_a_language_is_called_by_its_name(tag: str, name: str) -> None:
    alone = Prompt("own/a", "Write in {language}", "context")

    assert texts(asked(chain(alone), CaptionContext("", tag))) == [[f"Write in {name}"]]


def test_a_prompt_may_have_its_own_number_of_candidates_and_sampling() -> None:
    often = replace(DENSE, sampling=(("candidates", 3), ("temperature", 0.1)))

    (first, second) = asked(chain(often, SHORT, candidates=4), CaptionContext(""))

    assert (len(first), len(second)) == (3, 4)


@pytest.mark.parametrize("name", PROMPT_SETS)
def test_every_prompt_can_be_tried_with_values_of_our_own(name: str) -> None:
    made = chain(*PROMPT_SETS[name], candidates=1)

    assert len(made.samples()) == len(PROMPT_SETS[name])
    assert SAMPLE.alt_text in "".join(made.samples()) or not made.uses_context
