"""BLIP-2: a Q-Former turns each image into a few tokens before the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kaption.workers.captioners._family import CandidateRow, Drawn, Family
from kaption.workers.captioners._prefix import continue_prefix, read_prefix

if TYPE_CHECKING:
    from PIL import Image


class Blip2(Family):
    """Encodes each image once; OPT reads the query tokens once, too, for all candidates."""

    def generate(self, images: Sequence[Image.Image], rows: Sequence[CandidateRow]) -> list[Drawn]:
        """One answer per row."""
        import torch

        loaded, model = self._loaded, self._loaded.model
        features = model.get_image_features(**loaded.pixels(images)).pooler_output
        texts = loaded.tokenizer([row.prompt for row in rows]).input_ids
        if model.config.use_decoder_only_language_model:
            ids = torch.full(features.shape[:2], model.config.image_token_index).to(loaded.device)
            reader = model.language_model
            prefix = read_prefix(reader, ids, torch.ones_like(ids), inputs_embeds=features)
            return continue_prefix(loaded, reader, prefix, texts, rows)
        # T5 encodes image and prompt together, so candidates share only the encoded image.
        padded = loaded.tokenizer.pad({"input_ids": texts}, return_tensors="pt").to(loaded.device)
        look = features[[row.image for row in rows]]
        embeddings = model.get_input_embeddings()(padded.input_ids)
        out = model.language_model.generate(
            inputs_embeds=torch.cat([look.to(embeddings.dtype), embeddings], 1),
            attention_mask=torch.cat(
                [padded.attention_mask.new_ones(look.shape[:2]), padded.attention_mask], 1
            ),
            **loaded.options(rows, 1),
        )
        return loaded.decode(out[:, 1:])
