"""Idefics3 and SmolVLM: an image is several tiles in the prompt, and a tile several tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kaption.connections.errors import Fatal
from kaption.workers.captioners._chat import conversation
from kaption.workers.captioners._family import CandidateRow, Drawn, Family, Loaded
from kaption.workers.captioners._prefix import PROMPT_FIRST, continue_prefix, read_prefix

if TYPE_CHECKING:
    from PIL import Image


class Idefics3(Family):
    """Encodes each image once; the language model reads it once, too, for all prompts.

    Prompts are split behind the image. A special token ends there, so the two halves have the same
    tokens as the whole prompt.
    """

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded)
        loaded.tokenizer.padding_side = "left"

    def generate(self, images: Sequence[Image.Image], rows: Sequence[CandidateRow]) -> list[Drawn]:
        """One answer per row."""
        loaded, processor = self._loaded, self._loaded.processor
        token = processor.image_token
        texts = [conversation(processor, row.prompt).partition(token) for row in rows]
        if len({head for head, _, _ in texts}) > 1:
            raise Fatal(PROMPT_FIRST)
        inputs = processor(
            images=[[image] for image in images],
            text=[texts[0][0] + token] * len(images),
            padding=True,
            return_tensors="pt",
        ).to(loaded.device, loaded.model.dtype)
        mask = inputs.pop("attention_mask")
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        prefix = read_prefix(
            loaded.model, inputs["input_ids"], mask, position_ids=positions, **inputs
        )
        rests = loaded.tokenizer([rest for _, _, rest in texts], add_special_tokens=False).input_ids
        return continue_prefix(loaded, loaded.model, prefix, rests, rows)
