"""LLaVA: the features of the image's patches replace the image token in the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kaption.connections.errors import Fatal
from kaption.workers.captioners._chat import conversation
from kaption.workers.captioners._family import CandidateRow, Drawn, Family
from kaption.workers.captioners._prefix import (
    PROMPT_FIRST,
    common_prefix,
    continue_prefix,
    read_prefix,
)

if TYPE_CHECKING:
    from PIL import Image


class Llava(Family):
    """Encodes each image once; the language model reads it once, too, for all prompts."""

    def generate(self, images: Sequence[Image.Image], rows: Sequence[CandidateRow]) -> list[Drawn]:
        """One answer per row."""
        import torch

        loaded, model = self._loaded, self._loaded.model
        features = torch.stack(
            list(model.get_image_features(**loaded.pixels(images)).pooler_output)
        )
        image_id = model.config.image_token_id
        tokens = [self._expanded(row.prompt, features.shape[1]) for row in rows]
        length = common_prefix(tokens)
        first = torch.tensor(tokens[0][:length], device=loaded.device)
        if int((first == image_id).sum()) != features.shape[1]:
            raise Fatal(PROMPT_FIRST)
        embeddings = model.get_input_embeddings()(first).expand(len(images), -1, -1)
        here = (first == image_id)[None, :, None].expand_as(embeddings)
        embeddings = embeddings.masked_scatter(here, features.to(embeddings.dtype))
        ids = first.expand(len(images), -1)
        prefix = read_prefix(model, ids, torch.ones_like(ids), inputs_embeds=embeddings)
        return continue_prefix(loaded, model, prefix, [row[length:] for row in tokens], rows)

    def _expanded(self, prompt: str, patches: int) -> list[int]:
        token = self._loaded.processor.image_token
        text = conversation(self._loaded.processor, prompt).replace(token, token * patches)
        ids: list[int] = self._loaded.tokenizer(text).input_ids
        return ids
