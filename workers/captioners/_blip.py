"""BLIP: the text decoder attends to the output of a vision tower."""

from __future__ import annotations

from collections.abc import Sequence

from kaption.workers.captioners._family import CandidateRow, Drawn, Family, Shown


class Blip(Family):
    """Encodes each image once for all of its candidates.

    Rows are batched by the length of their prompt and not padded: the decoder's positions ignore
    the attention mask, so padding would change the texts.
    """

    def generate(self, shown: Sequence[Shown], rows: Sequence[CandidateRow]) -> list[Drawn]:
        """One answer per row."""
        import torch

        model, device = self._loaded.model, self._loaded.device
        text_config = model.config.text_config
        seen = model.vision_model(**self._loaded.batch(shown)).last_hidden_state
        prompts = {row.prompt: self._ids(row.prompt) for row in rows}
        answers: dict[int, Drawn] = {}
        for length in sorted({len(ids) for ids in prompts.values()}):
            at = [n for n, row in enumerate(rows) if len(prompts[row.prompt]) == length]
            group = [rows[n] for n in at]
            ids = torch.tensor([prompts[row.prompt] for row in group], device=device)
            options = self._loaded.options(group, length)
            # The positions are a table: a token past its end would raise an IndexError.
            room = text_config.max_position_embeddings - length
            options["max_new_tokens"] = min(options["max_new_tokens"], room)
            look = seen[[row.image for row in group]]
            tokens = model.text_decoder.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                encoder_hidden_states=look,
                encoder_attention_mask=torch.ones(look.shape[:2], device=device, dtype=torch.long),
                eos_token_id=text_config.sep_token_id,
                pad_token_id=text_config.pad_token_id,
                **options,
            )
            found = self._loaded.decode(tokens[:, length:], [text_config.sep_token_id], options)
            answers |= dict(zip(at, found, strict=True))
        return [answers[n] for n in range(len(rows))]

    def _ids(self, prompt: str) -> list[int]:
        """As BlipForConditionalGeneration.generate does: its own first token, and no end token."""
        first: int = self._loaded.model.config.text_config.bos_token_id
        return [first, *self._loaded.tokenizer(prompt).input_ids[1:-1]]
