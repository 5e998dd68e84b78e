from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer

from kaption.schemas import Doubt
from kaption.workers.captioners._family import Loaded
from kaption.workers.captioners._sampling import CandidateSampler, image_digest, row_seed
from kaption.workers.captioners.captioner import CaptionContext
from kaption.workers.captioners.prompts import PROMPT_SETS, Chain
from kaption.workers.captioners.transformers import DEMO_FOLDER
from kaption.workers.policy.recaption import SamplingPolicy

DEMO = AutoTokenizer.from_pretrained(DEMO_FOLDER)
NO_TOKENS = torch.empty(1, 0, dtype=torch.int64)


def draws(policy: SamplingPolicy, logits: torch.Tensor, count: int, step: int = 0) -> torch.Tensor:
    seeds = [row_seed(0, "picture", "prompt", number) for number in range(count)]
    ids = torch.zeros(count, step, dtype=torch.int64)
    sampler = CandidateSampler(policy, seeds, step)
    return sampler(ids, logits.expand(count, -1)).argmax(-1)


def test_tokens_are_drawn_by_their_probability() -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05])
    policy = SamplingPolicy(temperature=1.0, top_p=1.0)

    found = draws(policy, probabilities.log(), 20_000)

    shares = torch.bincount(found, minlength=4) / len(found)
    # Four standard deviations of a share of 20,000 draws are at most 0.0142.
    torch.testing.assert_close(shares, probabilities, atol=0.0142, rtol=0)


def test_the_temperature_sharpens() -> None:
    logits = torch.tensor([1.0, 0.0])
    policy = SamplingPolicy(temperature=0.5, top_p=1.0)

    share = draws(policy, logits, 20_000).float().mean().item()

    assert share == pytest.approx(1 / (1 + np.exp(2)), abs=0.0142)


def test_only_the_nucleus_is_drawn_from() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()

    found = draws(SamplingPolicy(temperature=1.0, top_p=0.7), logits, 500)

    assert set(found.tolist()) == {0, 1}


def test_a_draw_depends_on_seed_and_step_and_not_on_its_batch() -> None:
    logits = torch.zeros(1000)
    policy = SamplingPolicy()

    together = draws(policy, logits, 8)

    assert torch.equal(together[:3], draws(policy, logits, 3))
    assert len(set(together.tolist())) > 6
    sampler = CandidateSampler(policy, [5], 0)
    first = sampler(NO_TOKENS, logits[None]).argmax()
    assert first != sampler(torch.zeros(1, 1, dtype=torch.int64), logits[None]).argmax()


def test_generated_tokens_are_penalised_and_the_prompt_is_not() -> None:
    policy = SamplingPolicy(temperature=1.0, top_p=1.0, repetition_penalty=2.0)
    prompt_and_text = torch.tensor([[3, 1, 2]])
    logits = torch.tensor([[0.0, 4.0, -4.0, 4.0]])

    with_penalty = CandidateSampler(policy, [1], 1)(prompt_and_text, logits)
    none = SamplingPolicy(temperature=1.0, top_p=1.0, repetition_penalty=1.0)
    without = CandidateSampler(none, [1], 1)(prompt_and_text, logits)

    torch.testing.assert_close(with_penalty - without, torch.tensor([[0.0, -2.0, -4.0, 0.0]]))


def test_seeds_tell_images_prompts_and_numbers_apart() -> None:
    digests = [image_digest(Image.new("RGB", (4, 4), (grey,) * 3)) for grey in (0, 1)]

    seeds = {row_seed(0, d, p, n) for d in digests for p in ("a", "b") for n in range(3)}

    assert len(seeds) == 12
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize(("share", "rivals"), [(0.3, ("small",)), (0.05, None)])
def test_a_word_is_doubtful_where_another_one_was_likely(
    share: float, rivals: tuple[str, ...] | None
) -> None:
    # Given an answer, and a rival of its second word
    tokens = DEMO("a large red star").input_ids[1:]
    (rival,) = DEMO(" small").input_ids[1:-1]
    sampler = CandidateSampler(SamplingPolicy(), [0], 0)
    for step, token in enumerate([*tokens, 0]):  # a longer row of the batch goes on
        chances = torch.zeros(1, len(DEMO))
        chances[0, rival] = share if step == 1 else 0.0
        chances[0, token] = 1 - chances.sum()
        sampler(torch.tensor([tokens[:step]]), chances.log())
    model = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=tokens[-1]))
    processor = SimpleNamespace(tokenizer=DEMO)
    loaded = Loaded(model, processor, torch.device("cpu"), SamplingPolicy())
    # When it is decoded
    (found,) = loaded.decode(torch.tensor([[*tokens, 0]]), options={"logits_processor": [sampler]})
    # Then the word is marked with its rival, if that was likely enough
    assert found.text == "a large red star"
    assert found.doubts == ((Doubt(start=2, rivals=rivals),) if rivals else ())


def test_the_place_of_a_doubtful_word_is_that_in_the_caption() -> None:
    chain = Chain(PROMPT_SETS["demo"][:1], 1, str)
    (question,) = chain.questions(chain.links[0], CaptionContext(""), ())
    doubts = (Doubt(start=0, rivals=("title",)), Doubt(start=11, rivals=("small",)))

    found = question.answered("Caption: a large star", "m", "r", truncated=False, doubts=doubts)

    assert (found.text, found.doubts) == ("a large star", (Doubt(start=2, rivals=("small",)),))
