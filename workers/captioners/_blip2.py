"""BLIP-2 and InstructBLIP: a Q-Former turns each image into a few tokens before the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kaption.workers.captioners._family import CandidateRow, Drawn, Family, Shown
from kaption.workers.captioners._prefix import continue_prefix, read_prefix

if TYPE_CHECKING:
    import torch


class Blip2(Family):
    """Encodes each image once; OPT reads the query tokens once, too, for all candidates."""

    def generate(self, shown: Sequence[Shown], rows: Sequence[CandidateRow]) -> list[Drawn]:
        """One answer per row."""
        import torch

        loaded, model = self._loaded, self._loaded.model
        features = model.get_image_features(**loaded.batch(shown)).pooler_output
        texts = loaded.tokenizer([row.prompt for row in rows]).input_ids
        if model.config.use_decoder_only_language_model:
            ids = torch.full(features.shape[:2], model.config.image_token_index).to(loaded.device)
            reader = model.language_model
            prefix = read_prefix(reader, ids, torch.ones_like(ids), inputs_embeds=features)
            return continue_prefix(loaded, reader, prefix, texts, rows)
        # T5 encodes image and prompt together, so candidates share only the encoded image.
        return self._continue(features[[row.image for row in rows]], texts, rows)

    def _continue(
        self, look: torch.Tensor, texts: Sequence[list[int]], rows: Sequence[CandidateRow]
    ) -> list[Drawn]:
        """Generate behind the query tokens and the prompt of each row."""
        import torch

        loaded, model = self._loaded, self._loaded.model
        padded = loaded.tokenizer.pad(
            {"input_ids": list(texts)}, padding_side="left", return_tensors="pt"
        ).to(loaded.device)
        embeddings = model.get_input_embeddings()(padded.input_ids)
        # An encoder-decoder also returns the token that it starts with.
        start = 0 if model.config.use_decoder_only_language_model else 1
        options = loaded.options(rows, start)
        out = model.language_model.generate(
            inputs_embeds=torch.cat([look.to(embeddings.dtype), embeddings], 1),
            attention_mask=torch.cat(
                [padded.attention_mask.new_ones(look.shape[:2]), padded.attention_mask], 1
            ),
            **options,
        )
        return loaded.decode(out[:, start:], options=options)


class InstructBlip(Blip2):
    """Encodes each image once. The Q-Former reads image and prompt together, for each candidate."""

    def generate(self, shown: Sequence[Shown], rows: Sequence[CandidateRow]) -> list[Drawn]:
        """One answer per row."""
        import torch

        loaded, model = self._loaded, self._loaded.model
        seen = model.vision_model(**loaded.batch(shown)).last_hidden_state
        look = seen[[row.image for row in rows]]
        prompts = [row.prompt for row in rows]
        asked = loaded.processor.qformer_tokenizer(prompts)
        asked = loaded.processor.qformer_tokenizer.pad(asked, return_tensors="pt").to(loaded.device)
        queries = model.query_tokens.expand(len(rows), -1, -1)
        count = queries.shape[1]
        found = model.qformer(
            input_ids=asked.input_ids,
            attention_mask=torch.cat(
                [asked.attention_mask.new_ones(len(rows), count), asked.attention_mask], 1
            ),
            query_embeds=queries,
            encoder_hidden_states=look,
        ).last_hidden_state[:, :count]
        texts = loaded.tokenizer(prompts).input_ids
        return self._continue(model.language_projection(found), texts, rows)
