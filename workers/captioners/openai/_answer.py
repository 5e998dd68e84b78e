"""What an OpenAI-compatible server answered, what that costs, and what to do after a failure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter

from kaption.connections.errors import Fatal, Retry
from kaption.workers.captioners.captioner import Spend
from kaption.workers.policy.recaption import OpenAIPolicy

if TYPE_CHECKING:
    import httpx2

SECTION = "recaption.openai"
_REFUSED = (400, 413, 415, 422, 451)
_BUSY = (408, 409, 425, 429, 502, 503, 504, 529)
_LONGEST_WAIT_S = 600.0
"""A server that asks for a longer wait (Retry-After) is asked again after this time."""
_FILTERED = re.compile(
    r"content[_ -]?(?:filter|policy|management)|responsible\s?ai|moderation|flagged|safety", re.I
)
_TOLD_CHARS = 300

REQUESTS = Counter(
    "kaption_captioner_requests_total",
    "Requests to a caption server by result: answered, refused, filtered. Many refused: read the "
    "worker's log, which says why.",
    ("model", "result"),
)


class RefusedRequest(Exception):
    """The server will not answer this one request: what it asks, or its image, is at fault."""

    def __init__(self, why: str, *, filtered: bool = False) -> None:
        super().__init__(why)
        self.filtered = filtered
        """A filter of content refused it."""


class Failed(Retry):
    """The server failed with a request, which may be the request's fault as well."""


class Foreign(Failed):
    """The answer is none of this protocol."""


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """What a server said to one request."""

    texts: tuple[tuple[str, bool], ...]
    """Each text, and whether the limit of tokens cut it. Texts that a filter withheld are left
    out."""
    choices: int
    """The number of texts in the answer, those that were left out included."""
    input_tokens: int
    output_tokens: int

    def __add__(self, other: ServerAnswer) -> ServerAnswer:
        return ServerAnswer(
            self.texts + other.texts,
            self.choices + other.choices,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )


def count(model: str, found: ServerAnswer | RefusedRequest) -> None:
    """Count one request."""
    if isinstance(found, Exception):
        REQUESTS.labels(model, "filtered" if found.filtered else "refused").inc()
    else:
        REQUESTS.labels(model, "answered").inc()


def price(policy: OpenAIPolicy, found: Iterable[ServerAnswer | RefusedRequest]) -> Spend:
    """Tokens, and what they cost."""
    answers = [each for each in found if isinstance(each, ServerAnswer)]
    given = sum(each.input_tokens for each in answers)
    made = sum(each.output_tokens for each in answers)
    return Spend(given, made, (given * policy.input_price + made * policy.output_price) / 1e6)


def read_answer(response: httpx2.Response) -> ServerAnswer:
    """Raises RefusedRequest, Retry or Fatal."""
    where = f"{response.url.scheme}://{response.url.netloc.decode()}{response.url.path}"
    status = response.status_code
    try:
        payload = response.json()
    except (ValueError, RecursionError):
        payload = None
    if status == 200 and isinstance(payload, dict) and payload.get("error"):
        # Gateways begin with status 200 before the model behind them fails.
        error = payload["error"]
        code = str(error.get("code")) if isinstance(error, dict) else ""
        status = int(code) if code.isdecimal() and len(code) == 3 else 500
    if status != 200:
        raise _fault(where, status, response)
    choices = payload.get("choices") if isinstance(payload, dict) else None
    if not isinstance(choices, list) or not all(isinstance(it, dict) for it in choices):
        raise Foreign(f"{where} answered with no chat completion: {_told(response)}")
    if not choices:
        raise RefusedRequest(f"{where} made no choice")
    usage = payload.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return ServerAnswer(
        tuple(
            (_text(choice), choice.get("finish_reason") == "length")
            for choice in choices
            if choice.get("finish_reason") != "content_filter"
        ),
        len(choices),
        _count(usage.get("prompt_tokens")),
        _count(usage.get("completion_tokens")),
    )


def _fault(where: str, status: int, response: httpx2.Response) -> Exception:
    told = f"{where} answered {status}: {_told(response)}"
    filtered = bool(_FILTERED.search(response.text)) and status in (*_REFUSED, 403)
    if filtered or status in _REFUSED:
        return RefusedRequest(told, filtered=filtered)
    if status in _BUSY:
        return Retry(told, _retry_after(response))
    if status >= 500:
        return Failed(told, _retry_after(response))
    if status in (401, 403):
        return Fatal(f"{told}: give a key that may use the model in {SECTION}.api_key")
    if status == 404:
        return Fatal(
            f"{told}: look at {SECTION}.model and {SECTION}.base_url, which ends before"
            " /chat/completions"
        )
    return Fatal(f"{told}: look at {SECTION}.base_url")


def _retry_after(response: httpx2.Response) -> float | None:
    """Seconds, of either form of the header (RFC 9110, 10.2.3)."""
    given = response.headers.get("retry-after", "")
    try:
        seconds = float(given)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(given).timestamp() - time()
        except ValueError:
            return None
    # A NaN compares as False and becomes 0.
    return min(seconds, _LONGEST_WAIT_S) if seconds > 0 else 0.0


def _text(choice: dict[str, Any]) -> str:
    """The text of a choice. Some servers give a list of parts."""
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        parts = [it.get("text") for it in content if isinstance(it, dict)]
        content = "".join(it for it in parts if isinstance(it, str))
    # JSON may hold halves of characters, which no message of ours can.
    return content.encode("utf-8", "ignore").decode() if isinstance(content, str) else ""


def _count(value: object) -> int:
    return max(0, value) if isinstance(value, int) else 0


def _told(response: httpx2.Response) -> str:
    return " ".join(response.text.split())[:_TOLD_CHARS] or "nothing"
