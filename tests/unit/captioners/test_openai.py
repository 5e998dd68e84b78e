"""The captioner `openai` with a real server of the protocol, `transformers serve`."""

import base64
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from kaption.connections.errors import Fatal
from kaption.schemas import CaptionKind
from kaption.workers.captioners.captioner import CaptionContext
from kaption.workers.captioners.openai import OpenAICaptioner, build
from kaption.workers.policy.recaption import OpenAIPolicy, RecaptionPolicy, SamplingPolicy
from support.caption_server import CaptionProxy, TransformersServe

pytestmark = pytest.mark.slow

STAR = CaptionContext("a red star")
SHORT = SamplingPolicy(max_new_tokens=5)


@pytest.fixture
def proxy(caption_server: TransformersServe) -> Iterator[CaptionProxy]:
    with CaptionProxy(caption_server.url) as proxy:
        yield proxy


def policy(proxy: CaptionProxy, name: str, **changed: Any) -> RecaptionPolicy:
    given: dict[str, Any] = {
        "base_url": proxy.url,
        "model": name,
        "sampling": SHORT,
        "concurrency": 1,
    } | changed
    return RecaptionPolicy(captioners=("openai",), openai=OpenAIPolicy(**given))


@pytest.fixture
def made(proxy: CaptionProxy, caption_server: TransformersServe):
    def make(**changed: Any) -> OpenAICaptioner:
        captioner = build(policy(proxy, caption_server.model, **changed))
        proxy.forget()
        return captioner

    return make


def image(red: int = 200, side: int = 64) -> Image.Image:
    return Image.new("RGB", (side, side), (red, 30, 30))


def sent(body) -> bytes:
    (part,) = (it for it in body["messages"][0]["content"] if it["type"] == "image_url")
    head, _, data = part["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    return base64.b64decode(data)


def question(body) -> str:
    (part,) = (it for it in body["messages"][0]["content"] if it["type"] == "text")
    return str(part["text"])


def test_prompts_are_those_of_the_transformers_captioner(made) -> None:
    (captions,) = made().caption([image()], [STAR])

    ids = {caption.prompt_id for caption in captions}
    assert len(captions) == 5
    assert ids == {"chat/appearance", "chat/texture", "chat/context", "chat/fused"}
    assert {it.kind for it in captions if it.prompt_id == "chat/fused"} == {CaptionKind.FUSED}


def test_without_an_alt_text_no_prompt_quotes_one(made, proxy: CaptionProxy) -> None:
    made().caption([image()], [CaptionContext("  ")])

    assert not any("web page" in question(body) for body in proxy.seen)


def test_a_server_that_knows_n_gets_one_request_for_each_prompt(made, proxy: CaptionProxy) -> None:
    proxy.honour_n = True

    (captions,) = made().caption([image()], [CaptionContext("")])

    assert sorted(body.get("n", 1) for body in proxy.seen) == [1, 2, 2]
    assert len({caption.text for caption in captions}) > 3


def test_a_server_that_ignores_n_is_noticed_once_and_asked_n_times(
    made, proxy: CaptionProxy
) -> None:
    captioner = made()

    (captions,) = captioner.caption([image()], [CaptionContext("")])

    assert len(captions) == len(proxy.seen) == 5
    assert not any("n" in body for body in proxy.seen)
    assert len({(question(body), body["seed"]) for body in proxy.seen}) == 5


def test_the_stored_file_is_sent_as_it_is(made, proxy: CaptionProxy) -> None:
    out = BytesIO()
    image().save(out, "JPEG", quality=33)
    context = CaptionContext("", stored=out.getvalue())

    made().caption([image()], [context])

    assert {sent(body) for body in proxy.seen} == {out.getvalue()}


@pytest.mark.parametrize("stored", [None, b"RIFF....WEBP", b"\x89PNG"])
def test_an_image_without_a_stored_jpeg_is_encoded(
    made, proxy: CaptionProxy, stored: bytes | None
) -> None:
    made().caption([image()], [CaptionContext("", stored=stored)])

    assert Image.open(BytesIO(sent(proxy.seen[0]))).size == (64, 64)


def test_large_images_are_scaled_to_the_longest_side(made, proxy: CaptionProxy) -> None:
    captioner = made(longest_side=80)
    wide = Image.new("RGB", (400, 100))

    captioner.caption([wide], [CaptionContext("", stored=b"\xff\xd8\xff large")])

    assert {Image.open(BytesIO(sent(body))).size for body in proxy.seen} == {(80, 20)}
    assert wide.size == (400, 100)


@pytest.mark.parametrize("mark", ["<image>", "<|im_end|>", "[INST]", "<start_of_image>"])
def test_marks_of_chat_templates_in_an_alt_text_are_broken(
    made, proxy: CaptionProxy, mark: str
) -> None:
    made().caption([image()], [CaptionContext(f"a {mark} star")])

    assert not any(mark in question(body) for body in proxy.seen)


def test_parameters_that_the_server_does_not_take_are_left_out(made) -> None:
    # transformers serve knows no repetition_penalty, and says so with status 422.
    captioner = made(sampling=SHORT.model_copy(update={"repetition_penalty": 1.3}))

    assert len(captioner.caption([image()], [STAR])[0]) == 5


def test_fields_of_ones_own_go_before_ours(made, proxy: CaptionProxy) -> None:
    made(request={"top_p": None, "temperature": 0.5, "frequency_penalty": 0.1}).caption(
        [image()], [STAR]
    )

    assert all(body["temperature"] == 0.5 for body in proxy.seen)
    assert all(body["frequency_penalty"] == 0.1 and "top_p" not in body for body in proxy.seen)


def test_a_caption_that_the_limit_cuts_is_truncated(made) -> None:
    (captions,) = made().caption([image()], [STAR])

    assert any(caption.truncated for caption in captions)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("<think>a star?</think>Here is a caption: **A red star.**", "A red star."),
        ([{"type": "text", "text": "A red"}, {"type": "text", "text": " star."}], "A red star."),
        (None, ""),
        ("a star \ud83d", "a star"),
        ({"odd": 1}, ""),
    ],
)
def test_answers_are_cleaned(made, proxy: CaptionProxy, content: object, text: str) -> None:
    captioner = made()
    proxy.change = lambda payload: payload["choices"][0]["message"].update(content=content)

    (captions,) = captioner.caption([image()], [STAR])

    assert {caption.text for caption in captions} == {text}


def test_tokens_and_their_cost_are_counted(made, proxy: CaptionProxy) -> None:
    captioner = made(input_price=2.0, output_price=10.0)
    usage = {"prompt_tokens": 100, "completion_tokens": 7}
    proxy.change = lambda payload: payload.update(usage=usage)

    captioner.caption([image()], [STAR])

    assert captioner.spent == [(500, 35, pytest.approx(500 * 2e-6 + 35 * 1e-5))]


@pytest.mark.parametrize("usage", [None, {}, [], {"prompt_tokens": "7", "completion_tokens": -1}])
def test_an_answer_without_a_count_of_tokens_is_an_answer(
    made, proxy: CaptionProxy, usage: object
) -> None:
    captioner = made()
    proxy.change = lambda payload: payload.update(usage=usage)

    assert len(captioner.caption([image()], [STAR])[0]) == 5


def test_the_revision_is_what_the_server_lists(made, proxy: CaptionProxy, caption_server) -> None:
    name, root = caption_server.model, "org/captioner-7b"
    proxy.models = {"data": [{"id": "another"}, {"id": name, "root": root, "created": 99}]}

    assert made().revision == root
    assert made(revision="abc").revision == "abc"


@pytest.mark.parametrize("models", [None, {}, {"data": None}, {"data": ["x"]}, {"data": [{}]}])
def test_without_a_list_of_models_the_name_is_the_revision(
    made, proxy: CaptionProxy, caption_server, models
) -> None:
    proxy.models = models

    assert made().revision == caption_server.model


def test_cached_answers_outlive_a_move_of_the_server_and_no_change_of_the_model(
    made, proxy: CaptionProxy, caption_server
) -> None:
    with CaptionProxy(caption_server.url) as moved:
        same = made(base_url=moved.url, api_key="secret", concurrency=3, input_price=1).cache_id
    others = [
        made(**changed).cache_id
        for changed in (
            {"revision": "2"},
            {"prompts": "blip-2"},
            {"longest_side": 99},
            {"sampling": SHORT.model_copy(update={"seed": 1})},
            {"sampling": SHORT.model_copy(update={"temperature": 0.2})},
            {"request": {"top_p": 0.5}},
        )
    ]

    assert made().cache_id == same
    assert len({same, *others}) == 7


def test_the_key_is_sent_and_shown_nowhere(made, proxy: CaptionProxy, caption_server) -> None:
    captioner = made(api_key=" s3cret\n")
    captioner.caption([image()], [STAR])

    assert set(proxy.keys) == {"Bearer s3cret"}
    given = policy(proxy, caption_server.model, api_key="s3cret")
    assert "s3cret" not in repr(given) + given.model_dump_json() + str(vars(captioner))


def test_images_are_captioned_at_once_up_to_the_limit(made, proxy: CaptionProxy) -> None:
    captioner = made(concurrency=3)
    images = [image(shade) for shade in range(0, 80, 10)]

    found = captioner.caption(images, [STAR] * len(images))

    assert [len(captions) for captions in found] == [5] * 8
    assert proxy.most_busy == 3


@pytest.mark.parametrize("unset", ["base_url", "model"])
def test_what_is_unset_is_named(made, unset: str) -> None:
    with pytest.raises(Fatal, match=f"recaption.openai.{unset} is unset"):
        made(**{unset: ""})
