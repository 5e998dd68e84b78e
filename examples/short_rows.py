"""open_clip text towers that take batches padded less far than their context."""

from __future__ import annotations

from typing import Any


def take_short_rows(model: Any) -> None:
    """Change the model so that its text tower takes rows of any length up to its context.

    open_clip 3.3 adds the causal mask of the whole context to every batch, so a shorter batch
    raises an error. Here the mask is cut to the length of the batch. Embeddings stay the same: no
    token sees the tokens behind it. Towers that pool the last position (SigLIP) still need the
    whole context.

    Raises TypeError for a model whose text tower is not a module of its own: make it with
    ``open_clip.create_model(..., force_custom_text=True)``.
    """
    tower = getattr(getattr(model, "text", None), "transformer", None)
    if tower is None or not hasattr(model.text, "attn_mask"):
        raise TypeError(
            f"{type(model).__name__} has no open_clip text tower of its own: make the model with"
            " force_custom_text=True, or pad to its whole context (one bucket)"
        )
    tower.register_forward_pre_hook(_cut_mask, with_kwargs=True)


def _cut_mask(
    tower: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    mask, length = kwargs.get("attn_mask"), args[0].shape[1]
    if mask is None:
        return args, kwargs
    return args, kwargs | {"attn_mask": mask[..., :length, :length]}
