"""Any other image-text-to-text model, through its processor and chat template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kaption.workers.captioners._family import CandidateRow, Family, Loaded

if TYPE_CHECKING:
    from PIL import Image


class Chat(Family):
    """Encodes an image once for each candidate.

    How candidates could share an encoded image differs from architecture to architecture: Qwen2-VL
    counts positions on three axes, PaliGemma reads image and prompt in both directions.
    """

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded)
        loaded.tokenizer.padding_side = "left"

    def generate(self, images: Sequence[Image.Image], rows: Sequence[CandidateRow]) -> list[str]:
        """One text per row."""
        loaded = self._loaded
        inputs = loaded.processor(
            # A list for each text: processors that take several images for a text require it.
            images=[[images[row.image]] for row in rows],
            text=[conversation(loaded.processor, row.prompt) for row in rows],
            padding=True,
            return_tensors="pt",
        ).to(loaded.device, loaded.model.dtype)
        length = inputs["input_ids"].shape[1]
        out = loaded.model.generate(**inputs, **loaded.options(rows, length))
        return loaded.decode(out[:, length:])


def conversation(processor: Any, prompt: str) -> str:
    """The text of one turn with one image, in the model's own format."""
    if getattr(processor, "chat_template", None):
        content = [{"type": "image"}, {"type": "text", "text": prompt}]
        text: str = processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
        return text
    # LLaVA-1.5 checkpoints that are older than chat templates.
    return f"USER: {processor.image_token}\n{prompt} ASSISTANT:"
