"""What the captioner `openai` does where its server fails, with faults before a real one."""

import json
import time
from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from kaption.connections.errors import Fatal, Retry
from kaption.workers.captioners.captioner import CaptionContext
from kaption.workers.captioners.openai import OpenAICaptioner, build
from kaption.workers.policy.recaption import OpenAIPolicy, RecaptionPolicy, SamplingPolicy
from support.caption_server import CaptionProxy, Reply, TransformersServe, error, times
from support.certificates import Authority
from support.fault_proxy import FaultProxy

pytestmark = pytest.mark.slow

STAR = CaptionContext("a red star")
BLACK = Image.new("RGB", (64, 64))
WHITE = Image.new("RGB", (64, 64), (255, 255, 255))


@pytest.fixture
def proxy(caption_server: TransformersServe) -> Iterator[CaptionProxy]:
    with CaptionProxy(caption_server.url) as proxy:
        yield proxy


@pytest.fixture
def made(proxy: CaptionProxy, caption_server: TransformersServe):
    def make(**changed: Any) -> OpenAICaptioner:
        given: dict[str, Any] = {
            "base_url": proxy.url,
            "model": caption_server.model,
            "sampling": SamplingPolicy(max_new_tokens=4),
            "concurrency": 2,
        }
        captioner = build(RecaptionPolicy(openai=OpenAIPolicy(**given | changed)))
        proxy.forget()
        return captioner

    return make


def about(image: Image.Image, reply: Reply):
    """A fault of every request about one image."""
    out = BytesIO()
    image.save(out, "JPEG", quality=95)
    data = b64encode(out.getvalue()).decode()
    return lambda body: reply if data in json.dumps(body["messages"]) else None


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 529, 408])
def test_a_server_that_is_busy_or_down_is_asked_again(
    made, proxy: CaptionProxy, status: int
) -> None:
    captioner = made()
    proxy.faults.append(times(1, Reply(status, headers={"retry-after": "7"})))

    with pytest.raises(Retry, match=str(status)) as caught:
        captioner.caption([BLACK], [STAR])

    assert caught.value.after_s == 7 or status == 408
    assert len(captioner.caption([BLACK], [STAR])[0]) == 5


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("0", 0), ("-3", 0), ("1e9", 600), ("nan", 0), ("soon", None), ("", None), ("2.5", 2.5)],
)
def test_the_wait_that_a_server_asks_for_is_bounded(
    made, proxy: CaptionProxy, header: str, seconds: float | None
) -> None:
    captioner = made()
    proxy.faults.append(times(9, Reply(429, headers={"retry-after": header})))

    with pytest.raises(Retry) as caught:
        captioner.caption([BLACK], [STAR])

    assert caught.value.after_s == seconds


def test_a_wait_given_as_a_date_is_understood(made, proxy: CaptionProxy) -> None:
    captioner = made()
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 90))
    proxy.faults.append(times(9, Reply(503, headers={"retry-after": date})))

    with pytest.raises(Retry) as caught:
        captioner.caption([BLACK], [STAR])

    assert 80 < (caught.value.after_s or 0) <= 90


def test_answers_that_came_before_a_fault_are_not_paid_for_again(made, proxy: CaptionProxy) -> None:
    captioner = made(concurrency=1)
    proxy.faults.append(about(WHITE, Reply(503)))
    with pytest.raises(Retry):
        captioner.caption([BLACK, WHITE], [STAR, STAR])
    proxy.faults.clear()

    black, white = captioner.caption([BLACK, WHITE], [STAR, STAR])

    assert len(black) == len(white) == 5
    refused = 1
    assert len(proxy.seen) == 10 + refused


def test_a_busy_server_gets_no_more_requests_of_the_batch(made, proxy: CaptionProxy) -> None:
    captioner = made(concurrency=2)
    proxy.faults.append(times(99, Reply(429)))

    with pytest.raises(Retry):
        captioner.caption([BLACK, WHITE] * 4, [STAR] * 8)

    assert len(proxy.seen) <= 2


@pytest.mark.parametrize(
    "reply",
    [
        Reply(400, error("image is broken")),
        Reply(413, b"too large"),
        Reply(422, b'{"detail": "no"}'),
        Reply(415, b""),
        Reply(400, error("blocked", code="content_filter")),
        Reply(403, error("Your input was flagged", code=403)),
        Reply(200, error("moderated", code=400)),
        Reply(200, b'{"choices": []}'),
    ],
)
def test_a_refused_image_costs_one_record(made, proxy: CaptionProxy, reply: Reply) -> None:
    captioner = made()
    proxy.faults.append(about(WHITE, reply))

    black, white = captioner.caption([BLACK, WHITE], [STAR, STAR])

    assert (len(black), len(white)) == (5, 0)


def test_a_withheld_choice_costs_one_caption(made, proxy: CaptionProxy) -> None:
    captioner = made()
    held = {"choices": [{"finish_reason": "content_filter", "message": {"content": "a"}}]}
    proxy.faults.append(times(1, Reply(body=json.dumps(held).encode())))

    assert len(captioner.caption([BLACK], [STAR])[0]) == 4


@pytest.mark.parametrize(
    "reply",
    [
        Reply(500, b"Internal Server Error"),
        Reply(200, b"<html>"),
        Reply(200, b'{"choices": 7}'),
        Reply(200, b"[]"),
        Reply(200, b"[" * 100_000),
        Reply(200, b"\xff\xfe"),
        Reply(200, error("too long", code="9" * 5000)),
        Reply(200, error("engine failed", code="x")),
    ],
)
def test_an_image_that_the_server_fails_with_each_time_costs_one_record(
    made, proxy: CaptionProxy, reply: Reply
) -> None:
    captioner = made()
    proxy.faults.append(about(WHITE, reply))

    found = None
    for _ in range(3):
        try:
            found = captioner.caption([BLACK, WHITE], [STAR, STAR])
        except Retry:
            continue

    assert found is not None
    assert [len(captions) for captions in found] == [5, 0]


def test_a_server_that_fails_with_everything_is_waited_for(made, proxy: CaptionProxy) -> None:
    captioner = made()
    proxy.faults.append(times(10_000, Reply(500)))

    for _ in range(8):
        with pytest.raises(Retry):
            captioner.caption([BLACK], [STAR])

    proxy.faults.clear()
    assert len(captioner.caption([BLACK], [STAR])[0]) == 5


def test_a_server_that_refuses_all_and_the_small_image_is_fatal(made, proxy: CaptionProxy) -> None:
    captioner = made()
    proxy.faults.append(times(10_000, Reply(400, error("no images, please"))))

    with pytest.raises(Fatal, match="no images, please"):
        captioner.caption([BLACK], [STAR])


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "recaption.openai.api_key"),
        (403, "recaption.openai.api_key"),
        (404, "recaption.openai.model"),
        (405, "recaption.openai.base_url"),
        (308, "recaption.openai.base_url"),
    ],
)
def test_wrong_settings_are_fatal_and_say_what_to_do(
    made, proxy: CaptionProxy, status: int, advice: str
) -> None:
    proxy.models = {"data": [{"id": "served-model"}]}
    proxy.faults.append(times(99, Reply(status, error("sorry"))))

    with pytest.raises(Fatal, match=f"(?s){status}.*{advice}.*offers served-model"):
        made()


def test_a_key_that_a_server_repeats_is_shown_nowhere(made, proxy: CaptionProxy) -> None:
    reply = Reply(401, error("Incorrect API key provided: s3cret-1"))
    proxy.faults.append(times(99, reply))

    with pytest.raises(Fatal, match=r"provided: \*\*\*") as caught:
        made(api_key="s3cret-1")

    assert "s3cret-1" not in str(caught.value)


@pytest.mark.parametrize("key", ["two\nlines", "schlüssel", "nul\0"])
def test_a_key_that_no_header_can_hold_is_fatal_and_not_shown(made, key: str) -> None:
    with pytest.raises(Fatal, match="api_key has characters") as caught:
        made(api_key=key)

    assert key not in str(caught.value)


def test_an_answer_that_breaks_off_is_asked_for_again(made, proxy: CaptionProxy) -> None:
    captioner = made()
    proxy.faults.append(times(1, Reply(body=b'{"choices": [', cut=True)))

    with pytest.raises(Retry, match="cannot be reached"):
        captioner.caption([BLACK], [STAR])


def test_a_connection_that_is_reset_is_waited_for(caption_server: TransformersServe, made) -> None:
    with FaultProxy(caption_server.ports[0]) as faulty:
        captioner = made(base_url=f"http://{faulty.address}/v1")
        faulty.refuse()
        with pytest.raises(Retry):
            captioner.caption([BLACK], [STAR])
        faulty.restore()

        assert len(captioner.caption([BLACK], [STAR])[0]) == 5


def test_a_server_that_is_down_at_the_start_is_waited_for(made) -> None:
    with pytest.raises(Retry, match="cannot be reached"):
        made(base_url="http://127.0.0.1:9/v1")


@pytest.mark.parametrize("trickle", [False, True])
def test_a_slow_answer_ends_in_time(made, proxy: CaptionProxy, trickle: bool) -> None:
    captioner = made(total_timeout_s=6.0, read_timeout_s=4.0)
    slow_s = 0.5 if trickle else 20.0  # the whole answer takes 20 seconds in both cases
    proxy.faults.append(times(99, Reply(body=b" " * 40, slow_s=slow_s, trickle=trickle)))
    began = time.monotonic()

    with pytest.raises(Retry):
        captioner.caption([BLACK], [STAR])

    assert time.monotonic() - began < 15


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b'{"choices": null}', b"null"])
def test_a_server_of_another_protocol_is_fatal_at_the_start(
    made, proxy: CaptionProxy, body: bytes
) -> None:
    proxy.faults.append(times(99, Reply(body=body)))

    with pytest.raises(Fatal, match=r"no chat completion.*base_url"):
        made()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("temperature", "Unsupported value: 'temperature' does not support 0.8"),
        ("max_tokens", "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        ("seed", "Unrecognized request argument supplied: seed"),
        ("n", "only one completion is supported"),
        ("repetition_penalty", "Bad Request"),
    ],
)
def test_a_parameter_that_a_server_refuses_is_left_out(
    made, proxy: CaptionProxy, name: str, message: str
) -> None:
    refusal = Reply(400, error(message))
    proxy.faults.append(lambda body: refusal if name in body else None)
    captioner = made()

    assert len(captioner.caption([BLACK], [STAR])[0]) == 5
    assert not any(name in body for body in proxy.seen)


def test_a_model_that_sees_no_images_is_fatal(made, proxy: CaptionProxy) -> None:
    proxy.faults.append(times(99, Reply(400, error("is not a multimodal model"))))

    with pytest.raises(Fatal, match=r"captions no image.*not a multimodal model"):
        made()


def test_a_certificate_of_a_private_authority_needs_its_file(
    caption_server: TransformersServe, made, authority: Authority
) -> None:
    tls = authority.server().server_context()
    with FaultProxy(caption_server.ports[0], tls=tls) as secure:
        url = f"https://{secure.address}/v1"
        with pytest.raises(Fatal, match=r"recaption\.openai\.ca_file"):
            made(base_url=url)

        captioner = made(base_url=url, ca_file=str(authority.file))

        assert len(captioner.caption([BLACK], [STAR])[0]) == 5


@pytest.mark.parametrize(
    "changed",
    [
        {"base_url": "vllm:8000/v1"},
        {"base_url": "ftp://a.example"},
        {"base_url": "https://user:pass@a.example/v1"},
        {"base_url": "http://a.example/v1", "ca_file": "ca.pem"},
        {"concurrency": 0},
        {"input_price": -1},
    ],
)
def test_settings_that_cannot_work_are_refused(changed) -> None:
    with pytest.raises(ValidationError):
        OpenAIPolicy(**changed)
