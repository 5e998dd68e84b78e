"""Decoder-only models: everything up to the end of the picture is computed once per picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workers.captioners._family import Loaded, Row

if TYPE_CHECKING:
    import torch

_BUCKET = 8
"""Lengths are padded to a multiple: fewer shapes for the allocator, and compiled kernels fit."""


def common_prefix(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens all rows begin with, at least one being left of each."""
    least = min(len(row) for row in rows) - 1
    for position in range(least):
        if len({row[position] for row in rows}) > 1:
            return position
    return least


def continue_prefix(
    loaded: Loaded,
    model: Any,
    prefix: torch.Tensor,
    length: int,
    tokens: Sequence[Sequence[int]],
    rows: Sequence[Row],
) -> list[str]:
    """Generate from prompts that share their first `length` tokens.

    `prefix` (pictures, length, width) holds those tokens' embeddings with the picture's features
    among them. They go through `model` once per picture; its key-value cache is then repeated for
    each candidate. The rest of each prompt is padded on the left, between prefix and text.
    """
    import torch

    pad = _pad_id(loaded)
    cache = model(
        inputs_embeds=prefix,
        attention_mask=torch.ones(prefix.shape[:2], device=loaded.device, dtype=torch.long),
        use_cache=True,
        logits_to_keep=1,
    ).past_key_values
    cache.batch_select_indices(torch.tensor([row.picture for row in rows], device=loaded.device))
    longest = max(len(ids) for ids in tokens) - length
    room = -(-longest // _BUCKET) * _BUCKET
    ids, mask = [], []
    for row in tokens:
        gap = room - (len(row) - length)
        ids.append([*row[:length], *[pad] * gap, *row[length:]])
        mask.append([*[1] * length, *[0] * gap, *[1] * (len(row) - length)])
    out = model.generate(
        input_ids=torch.tensor(ids, device=loaded.device),
        attention_mask=torch.tensor(mask, device=loaded.device),
        past_key_values=cache,
        pad_token_id=pad,
        **loaded.options(rows, length + room),
    )
    return loaded.decode(out[:, length + room :])


def _pad_id(loaded: Loaded) -> int:
    tokenizer = loaded.tokenizer
    found: int = (
        tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    )
    return found
