"""The captioner `openai`."""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter as Multiset
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from kaption.connections.errors import Fatal, Fault, Retry
from kaption.schemas import Caption
from kaption.schemas.limits import NAME_CHARS, TEXT_CHARS
from kaption.workers.captioners.captioner import CaptionContext, Spend
from kaption.workers.captioners.openai._answer import (
    Failed,
    Foreign,
    RefusedRequest,
    ServerAnswer,
    count,
    price,
)
from kaption.workers.captioners.openai._request import OPTIONAL, RequestForm, Sent
from kaption.workers.captioners.openai._server import Body, ChatServer
from kaption.workers.captioners.prompts import SAMPLE, Chain, Prompt, Question, prompt_set
from kaption.workers.policy.recaption import OpenAIPolicy, RecaptionPolicy

if TYPE_CHECKING:
    from PIL import Image

_log = logging.getLogger(__name__)
_TRIAL_SIDE = 512
"""As large as the images that ingest stores by default: the trial then shows whether the server's
context is long enough."""
_TRIES = 3
"""A request that fails so often, while the server answers others, is at fault itself."""
_MARK = re.compile(r"[<\[](?=\S)")
Key = tuple[str, str, str, int, int]
"""Image, prompt, question, number of the first choice, and how many choices."""


def build(policy: RecaptionPolicy) -> OpenAICaptioner:
    """Ask for one caption of a small image. Raises Fatal with what to do, and Retry."""
    given = policy.openai
    for name in ("base_url", "model"):
        if not getattr(given, name):
            raise Fatal(f"recaption.openai.{name} is unset: the captioner openai needs it")
    prompts = prompt_set(given.prompts, "recaption.openai.prompts")
    captioner = OpenAICaptioner(given, prompts, ChatServer(given))
    captioner.try_out()
    return captioner


class OpenAICaptioner:
    """Asks each prompt of its set for its share of `candidates`, all images of a batch at once.

    A request that the server refuses costs its captions alone. Where the server is down, answers
    that came are kept for the repetition of the batch, so nothing is paid for twice.
    """

    name = "openai"
    uses_images = True

    def __init__(self, policy: OpenAIPolicy, prompts: Sequence[Prompt], server: ChatServer) -> None:
        self._policy = policy
        self._prompts = prompts
        self._server = server
        self._listed = {each["id"]: each for each in server.models()}
        entry = self._listed.get(policy.model, {})
        # The `created` that servers list is no revision: vLLM writes the time of its start there.
        base = str(entry.get("root") or policy.model)
        self.model = policy.model[:NAME_CHARS]
        self.revision = str(policy.revision or entry.get("revision") or base)[:NAME_CHARS]
        self._chain = Chain(prompts, policy.sampling.candidates, _broken)
        self.uses_context = self._chain.uses_context
        self._form = RequestForm(policy, [each.drawn(policy.sampling) for each in prompts])
        self.cache_id: str | None = None
        self.spent: list[Spend] = []
        self.second_price = policy.second_price
        self._kept: dict[Key, ServerAnswer | RefusedRequest] = {}
        self._failures: Multiset[Key] = Multiset()

    def try_out(self) -> None:
        """Ask for captions of a small image, and learn which parameters the server takes.

        Raises Fatal where it takes none of ours, and Retry.
        """
        first = self._chain.questions(self._chain.links[0], SAMPLE, ())
        most = max(Multiset(question.prompt for question in first).values())
        while True:
            (answer,) = self._server.ask([(self._small(), most)])
            if isinstance(answer, ServerAnswer):
                count(self.model, answer)
                self.cache_id = self._digest()
                return
            if isinstance(answer, Foreign):
                raise Fatal(f"{answer}: look at recaption.openai.base_url") from answer
            if isinstance(answer, Fault):
                raise self._advised(answer)
            assert isinstance(answer, RefusedRequest)
            left_out = self._form.leave_out(str(answer))
            if left_out is None and most > 1:
                left_out, most = "n", 1
                self._server.together = False
            left_out = left_out or self._form.leave_out(OPTIONAL[0])
            if left_out is None:
                raise Fatal(f"the model {self.model} captions no image: {answer}") from answer
            _log.warning(
                "the caption server does not take a parameter: it is left out",
                extra={"parameter": left_out, "why": str(answer)},
            )

    def caption(
        self, images: Sequence[Image.Image], contexts: Sequence[CaptionContext]
    ) -> list[tuple[Caption, ...]]:
        """`candidates` captions for each image, fewer where the server refuses. Raises Retry."""
        sent = [
            self._form.sent(image, context.stored)
            for image, context in zip(images, contexts, strict=True)
        ]
        found: list[list[Caption]] = [[] for _ in contexts]
        asked: list[list[Key]] = [[] for _ in contexts]
        answers: dict[Key, ServerAnswer | RefusedRequest] = {}
        for link in self._chain.links:
            requests = [
                list(self._requests(image, self._chain.questions(link, context, captions)))
                for image, context, captions in zip(sent, contexts, found, strict=True)
            ]
            bodies = {key: body for each in requests for key, _, body in each}
            answers |= self._answers(bodies)
            for mine, keys, captions in zip(requests, asked, found, strict=True):
                for key, question, _ in mine:
                    keys.append(key)
                    captions += self._captions(question, answers[key])
        self._kept = {}
        self._failures.clear()
        self._require_some(answers)
        self.spent = [price(self._policy, (answers[key] for key in keys)) for keys in asked]
        return [tuple(captions) for captions in found]

    def _requests(
        self, image: Sent, questions: Iterable[Question]
    ) -> Iterator[tuple[Key, Question, Body]]:
        """Candidates with one question share a request, where the server makes several."""
        first: dict[tuple[Prompt, str], Question] = {}
        choices: Multiset[tuple[Prompt, str]] = Multiset()
        for question in questions:
            same = (question.prompt, question.text)
            first.setdefault(same, question)
            choices[same] += 1
        for (prompt, text), wanted in choices.items():
            sampling = prompt.drawn(self._policy.sampling)
            step = wanted if self._server.together else 1
            for number in range(0, wanted, step):
                body = self._form.body(image, text, sampling, number)
                yield (image.digest, prompt.id, text, number, step), first[prompt, text], body

    def _answers(self, bodies: dict[Key, Body]) -> dict[Key, ServerAnswer | RefusedRequest]:
        """What the server said, also in earlier tries of this batch. Raises Retry and Fatal."""
        done = {key: self._kept[key] for key in bodies if key in self._kept}
        todo = [key for key in bodies if key not in done]
        faults: list[Fault] = []
        for key, found in zip(
            todo, self._server.ask([(bodies[key], key[-1]) for key in todo]), strict=True
        ):
            if isinstance(found, Failed):
                self._failures[key] += 1
                if self._failures[key] >= _TRIES and self._answers_others():
                    found = RefusedRequest(f"after {_TRIES} tries: {found}")
            if isinstance(found, Fault):
                faults.append(found)
                continue
            done[key] = found
            count(self.model, found)
        self._kept |= done
        if faults:
            raise self._advised(_gravest(faults))
        return done

    def _captions(
        self, question: Question, answer: ServerAnswer | RefusedRequest
    ) -> Iterator[Caption]:
        for text, is_cut in getattr(answer, "texts", ()):
            yield question.answered(text[:TEXT_CHARS], self.model, self.revision, truncated=is_cut)

    def _digest(self) -> str:
        """Digest of model, prompts, sampling and size of images. The server does not change it."""
        sampling = self._policy.sampling
        parts = (
            self.revision,
            f"{sampling.candidates}",
            *(
                f"{prompt.id} {prompt.digest} {self._form.described(prompt.drawn(sampling))}"
                for prompt in self._prompts
            ),
        )
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    def _small(self) -> Body:
        from PIL import Image, ImageDraw

        side = min(self._policy.longest_side, _TRIAL_SIDE)
        image = Image.new("RGB", (side, side), (245, 245, 245))
        ImageDraw.Draw(image).ellipse((side // 6, side // 6, side, side), fill=(220, 20, 20))
        questions = self._chain.questions(self._chain.links[0], SAMPLE, ())
        (_, _, body), *_ = self._requests(self._form.sent(image, None), questions)
        return body

    def _answers_others(self) -> bool:
        (answer,) = self._server.ask([(self._small(), 1)])
        return not isinstance(answer, Exception)

    def _require_some(self, answers: dict[Key, ServerAnswer | RefusedRequest]) -> None:
        """Raise Fatal where the server refuses all of a batch and the small image too."""
        why = [str(each) for each in answers.values() if isinstance(each, Exception)]
        if why:
            _log.warning(
                "the caption server refused requests: their captions are missing",
                extra={"requests": len(why), "of": len(answers), "why": why[0]},
            )
        if why and len(why) == len(answers) and not self._answers_others():
            raise Fatal(f"the caption server refuses every image: {why[0]}")

    def _advised(self, fault: Fault) -> Fault:
        if isinstance(fault, Fatal) and self._listed and self.model not in self._listed:
            return Fatal(f"{fault} (the server offers {', '.join(sorted(self._listed)[:10])})")
        return fault


def _broken(text: str) -> str:
    """Servers read the marks of their chat template in any text: <image>, [INST], <|im_end|>."""
    return _MARK.sub(r"\g<0> ", text)


def _gravest(faults: Sequence[Fault]) -> Fault:
    """A Fatal, else the Retry that asks for the longest wait."""
    return max(
        faults, key=lambda it: (not isinstance(it, Retry), getattr(it, "after_s", None) or 0)
    )
