"""Tries a caption model on small images: a model that loads may still be unable to caption."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from kaption.connections.errors import Fatal
from kaption.workers.captioners._chat import ANOTHER
from kaption.workers.captioners._family import CandidateRow, Family, Loaded, Shown
from kaption.workers.models.device import first_line


def try_family(loaded: Loaded, prompts: Sequence[str], family: Callable[[Loaded], Family]) -> None:
    """Let the model begin to caption two images. Raises Fatal where an answer cannot be right.

    The first token's logits must differ between images, and between prompts: a wrong prompt hides
    one of them from the model, which then writes fluent captions of nothing.
    """
    import torch
    from PIL import Image, ImageDraw

    images = [Image.new("RGB", (96, 96), (230, 230, 230)) for _ in range(2)]
    ImageDraw.Draw(images[0]).ellipse((8, 8, 88, 88), fill=(200, 30, 30))
    ImageDraw.Draw(images[1]).rectangle((30, 4, 60, 92), fill=(20, 50, 200))
    short = loaded.sampling.model_copy(update={"max_new_tokens": 2})
    texts = list(dict.fromkeys(prompts))
    kind = loaded.model.config.model_type
    for text in texts:
        seen = _first(loaded, short, family, images, [(0, text), (1, text)])
        if torch.equal(seen[0], seen[1]):
            raise Fatal(
                f"the model ({kind}) does not see the image: two images give the same answer to"
                f" {text!r}. Its prompt may lack the image mark: correct its chat template, or"
                f" {ANOTHER}"
            )
    if len(texts) > 1:
        seen = _first(loaded, short, family, images, [(0, text) for text in texts[:2]])
        if torch.equal(seen[0], seen[1]):
            raise Fatal(
                f"the model ({kind}) does not read the question: {texts[0]!r} and {texts[1]!r} give"
                f" the same answer. Correct its chat template, or {ANOTHER}"
            )


def _first(
    loaded: Loaded,
    sampling: Any,
    family: Callable[[Loaded], Family],
    images: Sequence[Any],
    asked: Sequence[tuple[int, str]],
) -> Any:
    """The first token's logits of each (image, prompt)."""
    import torch

    kept: list[torch.Tensor] = []
    tried = family(replace(loaded, sampling=sampling, first_logits=kept))
    rows = [CandidateRow(image, text, seed=1) for image, text in asked]
    kind = loaded.model.config.model_type
    try:
        with torch.inference_mode():
            shown = [Shown("", tried.prepare(image)) for image in images]
            answers = tried.generate(shown, rows)
    except (torch.OutOfMemoryError, Fatal):
        raise
    except Exception as error:  # a model that does not fit its family raises anything
        raise Fatal(
            f"models of the kind {kind!r} cannot be used: the first caption ended in"
            f" {type(error).__name__} ({first_line(error)}). Update transformers, or {ANOTHER}"
        ) from error
    logits = torch.cat(kept) if kept else torch.empty(0)
    if len(answers) != len(rows) or len(logits) != len(rows):
        raise Fatal(f"models of the kind {kind!r} give no text for an image: {ANOTHER}")
    if logits.isnan().any() or not logits.isfinite().any(1).all():
        raise Fatal(
            f"the model ({kind}) computes no finite numbers in {loaded.model.dtype}: set"
            " recaption.transformers.precision to fp32 or bf16, or fetch its files again"
        )
    return logits
