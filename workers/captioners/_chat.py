"""Any other image-text-to-text model, through its processor and chat template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kaption.connections.errors import Fatal
from kaption.workers.captioners._family import CandidateRow, Drawn, Family, Inputs, Loaded, Shown

if TYPE_CHECKING:
    from PIL import Image


ANOTHER = "take a model of another family, such as BLIP, BLIP-2, LLaVA or SmolVLM"
_USER_ASSISTANT = ("LlavaProcessor", "LlavaNextProcessor", "Idefics3Processor", "SmolVLMProcessor")
"""Processors of models that LLaVA-1.5's form of a prompt suits."""


class Chat(Family):
    """Prepares and encodes an image for each candidate, as the library does.

    Tests must show of an architecture that its candidates can share an encoded image: positions,
    masks and caches differ.
    """

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded)
        loaded.tokenizer.padding_side = "left"

    def processed(self, image: Image.Image) -> Inputs:
        """The image with a prompt: some processors count the image's tokens in the prompt."""
        return dict(self._inputs([image], [conversation(self._loaded.processor, "describe")]))

    def prepare(self, image: Image.Image) -> Inputs:
        """The image itself: how those of several images are joined, only the processor knows."""
        return {"image": image}

    def generate(self, shown: Sequence[Shown], rows: Sequence[CandidateRow]) -> list[Drawn]:
        """One answer per row."""
        loaded = self._loaded
        inputs = self._inputs(
            [shown[row.image].inputs["image"] for row in rows],
            [conversation(loaded.processor, row.prompt) for row in rows],
        ).to(loaded.device)
        length = inputs["input_ids"].shape[1]
        options = loaded.options(rows, length)
        out = loaded.model.generate(**inputs, **options)
        return loaded.decode(out[:, length:], options=options)

    def _inputs(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Any:
        found = self._loaded.processor(
            # A list for each text: processors that take several images for a text require it.
            images=[[image] for image in images],
            text=list(texts),
            padding=len(texts) > 1,
            return_tensors="pt",
            **first_token(self._loaded.processor, texts[0]),
        )
        return found.to("cpu", self._loaded.model.dtype)


def first_token(processor: Any, text: str) -> dict[str, bool]:
    """Options of a processor: the first token is not added to a text that begins with it."""
    first = processor.tokenizer.bos_token
    return {"add_special_tokens": False} if first and text.startswith(first) else {}


def image_mark(processor: Any, text: str) -> str:
    """The mark that stands once for the image in a text of `conversation`."""
    return next(mark for mark in _image_marks(processor) if text.count(mark) == 1)


def conversation(processor: Any, prompt: str) -> str:
    """The text of one turn with one image, in the model's own format.

    Templates differ in the content that they take: a list of parts, or a plain text. Raises Fatal
    where neither gives the prompt with exactly one image mark.
    """
    if not getattr(processor, "chat_template", None):
        return _without_template(processor, prompt)
    from jinja2 import TemplateError

    parts = [{"type": "image"}, {"type": "text", "text": prompt}]
    plain = [f"{mark}\n{prompt}" for mark in _image_marks(processor)]
    why = ""
    for content in (parts, *plain):
        try:
            text: str = processor.apply_chat_template(
                [{"role": "user", "content": content}],
                tokenize=False,
                add_generation_prompt=True,
                **_unthinking(processor),
            )
        except (TemplateError, TypeError, ValueError, LookupError, AttributeError) as error:
            why = why or f"{type(error).__name__}: {error}"
            continue
        if _asks_once(processor, text, prompt):
            return text
    raise Fatal(
        "the model's chat template makes no prompt with exactly one image mark and the question"
        + (f" ({why})" if why else "")
        + f": put a chat template that does into the model's folder, or {ANOTHER}"
    )


def _unthinking(processor: Any) -> dict[str, bool]:
    """Tells templates that know such a switch that the model shall answer at once."""
    template = str(processor.chat_template)
    return {name: False for name in ("enable_thinking", "thinking") if name in template}


def _asks_once(processor: Any, text: str, prompt: str) -> bool:
    # A template for plain text writes the list of parts as Python does.
    if prompt.strip() not in text or "{'type'" in text or '{"type"' in text:
        return False
    return 1 in (text.count(mark) for mark in _image_marks(processor)) and all(
        text.count(mark) <= 1 for mark in _image_marks(processor)
    )


def _image_marks(processor: Any) -> list[str]:
    """What stands for an image in a prompt: the token itself, or the one that opens an image."""
    tokenizer = processor.tokenizer
    found = [
        getattr(each, f"{noun}_token", None)
        for noun in ("image", "boi")
        for each in (processor, tokenizer)
    ]
    return list(dict.fromkeys(str(mark) for mark in found if mark))


def _without_template(processor: Any, prompt: str) -> str:
    """The prompts of models that are older than chat templates, or are not for chats."""
    name = type(processor).__name__
    if name == "PixtralProcessor":
        return f"[INST]{processor.image_token}{prompt}[/INST]"
    if name in _USER_ASSISTANT:
        return f"USER: {processor.image_token}\n{prompt} ASSISTANT:"
    raise Fatal(
        f"the model has no chat template (its processor is {name}), so its form of a prompt is not"
        f" known: put a chat_template.jinja into its folder, or {ANOTHER}"
    )
