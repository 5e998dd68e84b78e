"""What the transformers captioner asks of a model family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from kaption.workers.captioners._sampling import CandidateSampler
from kaption.workers.policy import SamplingPolicy

if TYPE_CHECKING:
    import torch
    from PIL import Image


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """One candidate to be drawn."""

    image: int
    """Index into the batch's images."""
    prompt: str
    seed: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model with what belongs to it."""

    model: Any
    processor: Any
    device: torch.device
    sampling: SamplingPolicy

    @property
    def tokenizer(self) -> Any:
        """The processor's."""
        return self.processor.tokenizer

    def options(self, rows: Sequence[CandidateRow], prompt_length: int) -> dict[str, Any]:
        """Keyword arguments of `generate` for these rows.

        `prompt_length`: tokens of `input_ids` that the output repeats.
        """
        from transformers import LogitsProcessorList

        sampler = CandidateSampler(self.sampling, [row.seed for row in rows], prompt_length)
        return {
            "max_new_tokens": self.sampling.max_new_tokens,
            # Whatever the model's generation config says: the sampler is all there is.
            "do_sample": False,
            "num_beams": 1,
            "temperature": None,
            "top_p": None,
            "top_k": None,
            "repetition_penalty": None,
            "logits_processor": LogitsProcessorList([sampler]),
        }

    def pixels(self, images: Sequence[Image.Image]) -> Any:
        """What the vision tower gets, on the device and in the model's precision."""
        found = self.processor.image_processor(list(images), return_tensors="pt")
        return found.to(self.device, self.model.dtype)

    def decode(self, tokens: torch.Tensor) -> list[str]:
        """Texts of generated tokens."""
        texts: list[str] = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return texts


class Family(Protocol):
    """How a kind of model shares one look at an image among the rows that ask about it."""

    def generate(self, images: Sequence[Image.Image], rows: Sequence[CandidateRow]) -> list[str]:
        """One text per row, the prompt left out. Under inference mode."""
