import pytest

from kaption.schemas import Caption, CaptionKind
from kaption.workers.captioners.prompts import PROMPT_SETS, Prompt
from kaption.workers.checks.leakage import LeakageCheck

PROMPTS = [prompt for prompts in PROMPT_SETS.values() for prompt in prompts]


def test_ids_are_unique_and_begin_with_their_set() -> None:
    for name, prompts in PROMPT_SETS.items():
        assert all(prompt.id.startswith(f"{name}/") for prompt in prompts)
    assert len({prompt.id for prompt in PROMPTS}) == len(PROMPTS)


@pytest.mark.parametrize("name", PROMPT_SETS)
def test_every_set_asks_for_appearance_texture_and_context(name: str) -> None:
    aspects = {prompt.aspect for prompt in PROMPT_SETS[name]}

    assert aspects >= {"appearance", "texture", "context"}


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: prompt.id)
def test_only_fused_prompts_take_the_alt_text(prompt: Prompt) -> None:
    text = prompt.text('my  "old"\nvase')

    assert ("{alt_text}" in prompt.template) == (prompt.aspect == "fused")
    assert ("my 'old' vase" in text) == (prompt.kind is CaptionKind.FUSED)


@pytest.mark.parametrize(
    "prompt",
    [prompt for prompt in PROMPTS if "see." in prompt.template],
    ids=lambda prompt: prompt.id,
)
def test_a_caption_that_repeats_an_instruction_fails_the_leakage_check(prompt: Prompt) -> None:
    caption = Caption(text=prompt.text("my vase"), kind=prompt.kind)

    assert not LeakageCheck().check(caption).passed
