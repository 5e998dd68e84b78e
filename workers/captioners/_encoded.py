"""PaliGemma and Florence-2: what the model reads of an image depends on the prompt."""

from __future__ import annotations

from collections.abc import Sequence

from kaption.workers.captioners._family import CandidateRow, Drawn, Family, Shown


class Encoded(Family):
    """Encodes each image once. Image and prompt see each other, so each candidate reads both."""

    def generate(self, shown: Sequence[Shown], rows: Sequence[CandidateRow]) -> list[Drawn]:
        """One answer per row."""
        import torch
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        loaded, model = self._loaded, self._loaded.model
        seen = model.get_image_features(**loaded.batch(shown)).pooler_output
        look = seen[[row.image for row in rows]]
        writes = model.config.is_encoder_decoder  # it counts positions from the left
        first, last = loaded.tokenizer.bos_token, loaded.tokenizer.eos_token if writes else "\n"
        image = loaded.processor.image_token * seen.shape[1]
        texts = [f"{image}{first}{row.prompt}{last}" for row in rows]
        tokens = loaded.tokenizer(texts, add_special_tokens=False).input_ids
        length = max(map(len, tokens))
        sides = [(0, length - len(each)) if writes else (length - len(each), 0) for each in tokens]
        ids, mask = (
            torch.tensor(
                [
                    [fill] * left + (each if own else [1] * len(each)) + [fill] * right
                    for each, (left, right) in zip(tokens, sides, strict=True)
                ],
                device=loaded.device,
            )
            for fill, own in ((loaded.pad, True), (0, False))
        )
        options = loaded.options(rows, 1 if writes else length)
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            mm_encoder_outputs={"image": BaseModelOutputWithPooling(pooler_output=look)},
            **({} if writes else {"token_type_ids": torch.zeros_like(ids)}),
            **options,
        )
        return loaded.decode(out[:, 1 if writes else length :], options=options)
