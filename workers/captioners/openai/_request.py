"""The form of a chat request: an image, a question, and the parameters that the server takes."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from kaption.workers.captioners._sampling import row_seed
from kaption.workers.captioners.openai._server import Body
from kaption.workers.policy.recaption import OpenAIPolicy, SamplingPolicy

if TYPE_CHECKING:
    from PIL import Image

_JPEG = b"\xff\xd8\xff"
_QUALITY = 95
OPTIONAL = ("repetition_penalty", "seed", "top_p", "temperature")
"""Parameters that a server may refuse to take. The first is none of OpenAI's."""
_MOST_SEED = 2**31 - 2**10
"""Servers take seeds of 32 bits, and a candidate's number is added."""


@dataclass(frozen=True, slots=True)
class Sent:
    """An image as it is sent."""

    digest: str
    url: str


class RequestForm:
    """Makes the bodies of requests. It forgets parameters that the server refused."""

    def __init__(self, policy: OpenAIPolicy, samplings: Sequence[SamplingPolicy]) -> None:
        """`samplings` are those of all prompts: one body shows all parameters to the server."""
        self._policy = policy
        names = {"temperature", "seed", "max_tokens"}
        for name in ("top_p", "repetition_penalty"):
            names |= {name} if any(getattr(each, name) != 1 for each in samplings) else set()
        self._ours = names - policy.request.keys()

    def body(self, sent: Sent, question: str, sampling: SamplingPolicy, number: int) -> Body:
        """The request for the candidates from `number` on."""
        content = [
            # The image stands first: servers then share its encoding among the prompts.
            {"type": "image_url", "image_url": {"url": sent.url}},
            {"type": "text", "text": question},
        ]
        seed = row_seed(sampling.seed, sent.digest, question, 0) % _MOST_SEED + number
        values = self._values(sampling, seed)
        return values | {"messages": [{"role": "user", "content": content}]}

    def leave_out(self, why: str) -> str | None:
        """Leave out the parameter that a refusal names; None where it names none of ours."""
        if "max_completion_tokens" in why and "max_tokens" in self._ours:
            self._ours = self._ours - {"max_tokens"} | {"max_completion_tokens"}
            return "max_tokens"
        named = next((each for each in OPTIONAL if each in why and each in self._ours), None)
        if named:
            self._ours = self._ours - {named}
        return named

    def sent(self, image: Image.Image, stored: bytes | None) -> Sent:
        """The image as JPEG: the stored file where it is one and small enough."""
        data = self._jpeg(image, stored)
        url = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
        return Sent(hashlib.sha256(data).hexdigest(), url)

    def described(self, sampling: SamplingPolicy) -> str:
        """All that an answer depends on besides model, image and question."""
        values = self._values(sampling, sampling.seed) | {"model": ""}
        return f"{json.dumps(values, sort_keys=True)} {sampling.seed} {self._policy.longest_side}"

    def _values(self, sampling: SamplingPolicy, seed: int) -> Body:
        values: Body = {
            "max_tokens": sampling.max_new_tokens,
            "max_completion_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "repetition_penalty": sampling.repetition_penalty,
            "seed": seed,
        }
        fields: Body = {"model": self._policy.model}
        fields |= {name: value for name, value in values.items() if name in self._ours}
        fields |= self._policy.request
        return {name: value for name, value in fields.items() if value is not None}

    def _jpeg(self, image: Image.Image, stored: bytes | None) -> bytes:
        longest = self._policy.longest_side
        if max(image.size) > longest:
            image = image.copy()
            image.thumbnail((longest, longest))
        elif stored is not None and stored.startswith(_JPEG):
            return stored
        out = BytesIO()
        image.save(out, "JPEG", quality=_QUALITY)
        return out.getvalue()
