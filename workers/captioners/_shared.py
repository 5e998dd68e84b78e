"""Decoder-only chat models: the language model reads an image once, for all of its prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kaption.connections.errors import Fatal
from kaption.workers.captioners._chat import Chat, conversation, image_mark
from kaption.workers.captioners._family import CandidateRow, Drawn, Inputs, Shown
from kaption.workers.captioners._prefix import PROMPT_FIRST, continue_prefix, read_prefix

if TYPE_CHECKING:
    from PIL import Image

_ANY = "describe"


class SharedPrefix(Chat):
    """Encodes each image once, tiles included; the language model reads it once, too.

    Prompts are split behind the image mark. The mark is a special token, so the two halves have the
    same tokens as the whole prompt. Nothing behind an image may change what the model sees of it.
    """

    def processed(self, image: Image.Image) -> Inputs:
        """The pixels, and the tokens up to the end of the image."""
        head, mark, _ = self._split(_ANY)
        return dict(self._inputs([image], [head + mark]))

    def prepare(self, image: Image.Image) -> Inputs:
        """Prepare an image, tiles included."""
        return self.processed(image)

    def generate(self, shown: Sequence[Shown], rows: Sequence[CandidateRow]) -> list[Drawn]:
        """One answer per row."""
        loaded, model = self._loaded, self._loaded.model
        head, mark, _ = self._split(_ANY)
        split = [self._split(row.prompt) for row in rows]
        if any(found[0] != head for found in split):
            raise Fatal(PROMPT_FIRST)
        inputs = loaded.batch(shown)
        ids, mask = inputs.pop("input_ids"), inputs.pop("attention_mask")
        inner = getattr(model, "model", model)
        if not hasattr(inner, "rope_deltas"):  # such models count positions on several axes
            inputs["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
        prefix = read_prefix(model, ids, mask, input_ids=ids, **inputs)
        if getattr(inner, "rope_deltas", None) is not None:
            # The difference between positions behind an image and the number of tokens before it.
            inner.rope_deltas = inner.rope_deltas[[row.image for row in rows]]
        return continue_prefix(
            loaded, model, prefix, [self._behind(mark, rest) for _, _, rest in split], rows
        )

    def _split(self, prompt: str) -> tuple[str, str, str]:
        text = conversation(self._loaded.processor, prompt)
        return text.partition(image_mark(self._loaded.processor, text))

    def _behind(self, mark: str, rest: str) -> list[int]:
        """The tokens of a text behind the mark: some tokenizers treat the start of a text apart."""
        tokenizer = self._loaded.tokenizer
        ids: list[int] = tokenizer(mark + rest, add_special_tokens=False).input_ids
        return ids[ids.index(tokenizer.convert_tokens_to_ids(mark)) + 1 :]
