"""The fuser copies tokens alike in training and in generation, and answers a chain of prompts."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from transformers import AutoTokenizer, DynamicCache

from kaption.schemas import CaptionKind
from kaption.workers.captioners.captioner import CaptionContext
from kaption.workers.captioners.transformers import DEMO_FOLDER
from kaption.workers.policy.recaption import RecaptionPolicy, SamplingPolicy, TransformersPolicy
from tools.demo_models import train_captioner, train_clip
from tools.demo_models.measure import specimens
from tools.evaluate import fuser, fusion, judge
from tools.evaluate.held_out import SEED

pytestmark = pytest.mark.slow


def test_its_scenes_are_those_of_no_other_model_and_of_no_crawl() -> None:
    own = set(range(fuser.RECIPE.seed, fuser.RECIPE.seed + fuser.RECIPE.chunks))
    others = (train_clip.ClipRecipe(), judge.RECIPE)
    seeds = {seed for each in others for seed in range(each.seed, each.seed + each.chunks)}

    assert not own & (seeds | {SEED, fusion.SEED, train_captioner.SEED})


@torch.inference_mode()
def test_a_token_after_the_other_has_the_chances_of_all_tokens_at_once() -> None:
    decoder = fuser._begun().eval().text_decoder
    ids = torch.randint(3, 500, (2, 9), generator=torch.Generator().manual_seed(1))
    seen = {"encoder_hidden_states": torch.randn(2, 5, 128)}
    whole = decoder(ids, attention_mask=torch.ones_like(ids), **seen).logits

    cache = DynamicCache(config=decoder.config)
    steps = [decoder(ids[:, :4], past_key_values=cache, use_cache=True, **seen).logits]
    for at in range(4, 9):
        one = decoder(ids[:, at : at + 1], past_key_values=cache, use_cache=True, **seen)
        steps.append(one.logits)

    torch.testing.assert_close(torch.cat(steps, dim=1), whole, rtol=1e-3, atol=1e-3)


def test_the_chain_is_asked_with_the_alt_text_in_its_last_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(DEMO_FOLDER)
    train_captioner.save(tmp_path, fuser._begun(), tokenizer)
    monkeypatch.setattr(fuser, "trained", lambda: tmp_path)
    sampling = SamplingPolicy(candidates=3, max_new_tokens=4)
    policy = TransformersPolicy(sampling=sampling)

    captioner = fuser.build(RecaptionPolicy(transformers=policy))
    (one,) = specimens(1, worn=False)
    captions = captioner.caption([one.image], [CaptionContext("Rosa in Oslo")])[0]

    assert [each.aspect for each in captions] == ["context", "appearance", "fused"]
    assert captions[2].kind is CaptionKind.FUSED
