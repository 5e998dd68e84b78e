import numpy as np
import pytest
import torch
from PIL import Image

from kaption.workers.captioners._sampling import CandidateSampler, image_digest, row_seed
from kaption.workers.policy import SamplingPolicy

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
