"""Decoder-only models: all tokens up to the end of the image are computed once for each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kaption.workers.captioners._family import CandidateRow, Drawn, Loaded

if TYPE_CHECKING:
    import torch

_BUCKET = 8
"""Lengths are padded to a multiple of this: the allocator sees fewer shapes, and compiled kernels
are used again."""

PROMPT_FIRST = (
    "the model's chat template puts the prompt before the image, so the prompts cannot share the"
    " encoded image: put a chat template with the image first into the model's folder"
)


@dataclass(frozen=True, slots=True)
class Prefix:
    """The tokens that all prompts about an image begin with, and the model's state after them.

    The image is among them. They are padded on the left where images have different numbers of
    tokens.
    """

    ids: torch.Tensor
    """(images, length)"""
    mask: torch.Tensor
    """(images, length): 0 where there is padding."""
    cache: Any
    """Keys and values by layer."""


def read_prefix(model: Any, ids: torch.Tensor, mask: torch.Tensor, **inputs: Any) -> Prefix:
    """Let the model read each image once; `inputs` are its arguments besides the mask."""
    out = model(attention_mask=mask, use_cache=True, logits_to_keep=1, **inputs)
    return Prefix(ids, mask, out.past_key_values)


def continue_prefix(
    loaded: Loaded,
    model: Any,
    prefix: Prefix,
    rests: Sequence[Sequence[int]],
    rows: Sequence[CandidateRow],
) -> list[Drawn]:
    """Generate a text for each row, from the prefix of its image and the rest of its prompt.

    `rests` are the tokens behind the prefix; they are padded on the left, between prefix and rest.
    The keys and values of the prefix are repeated for each row, which changes `prefix`: it cannot
    be used again.
    """
    import torch

    pad, device = loaded.pad, loaded.device
    images = torch.tensor([row.image for row in rows], device=device)
    prefix.cache.batch_select_indices(images.cpu())  # its layers may be on several devices
    room = -(-max(map(len, rests)) // _BUCKET) * _BUCKET
    ids = torch.tensor([[*[pad] * (room - len(rest)), *rest] for rest in rests], device=device)
    mask = torch.tensor(
        [[*[0] * (room - len(rest)), *[1] * len(rest)] for rest in rests], device=device
    )
    length = prefix.ids.shape[1] + room
    options = loaded.options(rows, length)
    out = model.generate(
        input_ids=torch.cat([prefix.ids[images], ids], 1),
        attention_mask=torch.cat([prefix.mask[images], mask], 1),
        past_key_values=prefix.cache,
        pad_token_id=pad,
        **options,
    )
    return loaded.decode(out[:, length:], options=options)
