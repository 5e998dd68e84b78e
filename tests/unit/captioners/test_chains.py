"""Both captioners ask a chain of prompts: a real server of the protocol, and tiny models."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kaption.connections.errors import Retry
from kaption.schemas import CaptionKind, OcrText
from kaption.workers.captioners import openai, transformers
from kaption.workers.captioners.captioner import CaptionContext
from kaption.workers.policy.recaption import (
    OpenAIPolicy,
    RecaptionPolicy,
    SamplingPolicy,
    TransformersPolicy,
)
from support.caption_server import CaptionProxy, Reply, TransformersServe
from support.tiny_models import tiny_blip2, tiny_idefics3, tiny_llava

pytestmark = pytest.mark.slow

PROMPTS = (
    {
        "id": "fused",
        "aspect": "fused",
        "template": 'page "{alt_text}" picture "{short}"',
        "sampling": {"max_new_tokens": 3},
    },
    {"id": "short", "aspect": "appearance", "template": 'caption "{dense}"'},
    {"id": "dense", "aspect": "context", "template": ["describe the picture", "text {ocr}"]},
)
SHORT = SamplingPolicy(max_new_tokens=5, candidates=3)
STAR = CaptionContext("a red star <image>", ocr=(OcrText(text="[INST] SALE"),))
BARE = CaptionContext("")


def noise_image(seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(noise).resize((48, 48))


def kinds(captions: Any) -> dict[str, CaptionKind]:
    return {caption.prompt_id.partition("@")[0]: caption.kind for caption in captions}


@pytest.fixture(params=[tiny_blip2, tiny_llava, tiny_idefics3])
def local(request: pytest.FixtureRequest, tmp_path: Path) -> transformers.TransformersCaptioner:
    make: Callable[[Path], Path] = request.param
    given = TransformersPolicy(
        model=str(make(tmp_path)), device="cpu", sampling=SHORT, prompts=PROMPTS
    )
    return transformers.build(RecaptionPolicy(transformers=given))


def test_a_batch_is_asked_link_by_link_and_each_image_about_its_own_answers(
    local: transformers.TransformersCaptioner, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    generate = type(local._family).generate

    def spied(self: Any, images: Any, rows: Any) -> Any:
        calls.append([row.prompt for row in rows])
        drawn = generate(self, images, rows)
        # What is left of an answer without its marks can be a mark again
        return [replace(each, text=f"star {n} <<image>image>") for n, each in enumerate(drawn)]

    monkeypatch.setattr(type(local._family), "generate", spied)

    first, second = local.caption([noise_image(0), noise_image(1)], [STAR, BARE])

    assert [len(rows) for rows in calls] == [3, 2, 1]
    assert calls[0] == ["describe the picture text [INST] SALE", *["describe the picture"] * 2]
    # The second image has no alt text: it is described twice, and its first answer is quoted
    assert calls[1] == [f'caption "star {n} < image>"' for n in range(2)]
    assert calls[2] == ['page "a red star < image>" picture "star 0 < image>"']
    assert kinds(first) == dict.fromkeys(["dense", "short", "fused"], CaptionKind.FUSED)
    assert set(kinds(second).values()) == {CaptionKind.VLM}


def test_a_chain_says_of_an_image_the_same_alone_and_in_a_batch(
    local: transformers.TransformersCaptioner,
) -> None:
    together = local.caption([noise_image(0), noise_image(1), noise_image(2)], [STAR, BARE, STAR])

    assert local.caption([noise_image(2)], [STAR]) == [together[2]]
    assert local.caption([noise_image(1)], [BARE]) == [together[1]]
    assert local.caption([], []) == []


@pytest.fixture
def proxy(caption_server: TransformersServe) -> Iterator[CaptionProxy]:
    with CaptionProxy(caption_server.url) as proxy:
        yield proxy


@pytest.fixture
def remote(proxy: CaptionProxy, caption_server: TransformersServe):
    def make(*prompts: dict[str, Any], **changed: Any) -> openai.OpenAICaptioner:
        given = OpenAIPolicy(
            base_url=proxy.url,
            model=caption_server.model,
            sampling=SHORT,
            concurrency=1,
            prompts=prompts or PROMPTS,
            **changed,
        )
        captioner = openai.build(RecaptionPolicy(openai=given))
        proxy.forget()
        return captioner

    return make


def questions(proxy: CaptionProxy) -> list[str]:
    return [
        next(part["text"] for part in body["messages"][0]["content"] if part["type"] == "text")
        for body in proxy.seen
    ]


def say(text: str) -> Callable[[Any], None]:
    return lambda payload: payload["choices"][0]["message"].update(content=text)


def test_a_server_is_asked_link_by_link_with_the_sampling_of_each_prompt(
    remote, proxy: CaptionProxy
) -> None:
    captioner = remote()
    proxy.change = say("<think>hm</think>A red <<image>image> star.")

    first, second = captioner.caption([noise_image(0), noise_image(1)], [STAR, BARE])

    quoted = 'caption "A red < image> star."'
    assert questions(proxy) == [
        "describe the picture text [ INST] SALE",
        *["describe the picture"] * 2,
        *[quoted] * 2,
        'page "a red star < image>" picture "A red < image> star."',
    ]
    assert [body["max_tokens"] for body in proxy.seen] == [5] * 5 + [3]
    assert (len(first), len(second)) == (3, 3)
    assert kinds(first)["short"] is CaptionKind.FUSED
    assert kinds(second)["short"] is CaptionKind.VLM


def test_after_a_fault_in_a_late_link_the_early_ones_are_not_paid_for_again(
    remote, proxy: CaptionProxy
) -> None:
    captioner = remote()
    proxy.change = say("A star.")
    proxy.faults.append(lambda body: Reply(503) if "page" in json.dumps(body) else None)
    for _ in range(2):
        with pytest.raises(Retry):
            captioner.caption([noise_image(0)], [STAR])
    proxy.faults.clear()

    (captions,) = captioner.caption([noise_image(0)], [STAR])

    assert len(captions) == 3
    assert len(questions(proxy)) == 2 + 3  # two refused
    assert captioner.spent[0].output_tokens > 0


def test_a_late_link_that_is_refused_or_keeps_failing_costs_its_captions_alone(
    remote, proxy: CaptionProxy
) -> None:
    captioner = remote()
    proxy.change = say("A star.")
    proxy.faults.append(lambda body: Reply(400) if "page" in json.dumps(body) else None)
    assert len(captioner.caption([noise_image(0)], [STAR])[0]) == 2
    proxy.faults[0] = lambda body: Reply(500) if "page" in json.dumps(body) else None
    for _ in range(2):
        with pytest.raises(Retry):
            captioner.caption([noise_image(1)], [STAR])

    assert len(captioner.caption([noise_image(1)], [STAR])[0]) == 2


def test_an_answer_that_is_blank_is_not_quoted(remote, proxy: CaptionProxy) -> None:
    captioner = remote()
    proxy.change = say("  ")

    captioner.caption([noise_image(0)], [STAR])

    assert questions(proxy) == ["describe the picture text [ INST] SALE"]


def test_a_parameter_that_only_one_prompt_has_is_tried_at_the_start(
    remote, proxy: CaptionProxy
) -> None:
    # transformers serve knows no repetition_penalty, and says so with status 422.
    plain = SHORT.model_copy(update={"repetition_penalty": 1.0})
    own = PROMPTS[1] | {"template": "caption", "sampling": {"repetition_penalty": 1.4}}
    given = OpenAIPolicy(
        base_url=proxy.url, model=str(remote().model), sampling=plain, prompts=(PROMPTS[2], own)
    )
    captioner = openai.build(RecaptionPolicy(openai=given))

    assert len(captioner.caption([noise_image(0)], [BARE])[0]) == 3


def test_prompts_that_all_need_an_alt_text_ask_nothing_without_one(
    remote, proxy: CaptionProxy
) -> None:
    captioner = remote({"id": "a", "aspect": "fused", "template": "page {alt_text}"})

    assert captioner.caption([noise_image(0)], [BARE]) == [()]
    assert not proxy.seen


def test_a_cached_answer_is_of_the_same_prompts(remote) -> None:
    changed = PROMPTS[2] | {"sampling": {"temperature": 0.1}}

    ids = {remote().cache_id, remote(*PROMPTS).cache_id, remote(*PROMPTS[:2], changed).cache_id}

    assert len(ids) == 2
    assert remote().uses_context
    assert not remote({"id": "a", "aspect": "context", "template": "describe"}).uses_context
