"""The interface of a model family, and the loaded model that it works with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kaption.workers.captioners._sampling import CandidateSampler
from kaption.workers.policy import SamplingPolicy

if TYPE_CHECKING:
    import torch
    from PIL import Image


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """One candidate that is to be generated."""

    image: int
    """Index into the batch's images."""
    prompt: str
    seed: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loaded model with its processor, device and sampling."""

    model: Any
    processor: Any
    device: torch.device
    sampling: SamplingPolicy

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of the processor."""
        return self.processor.tokenizer

    def options(self, rows: Sequence[CandidateRow], prompt_length: int) -> dict[str, Any]:
        """Keyword arguments of `generate` for these rows.

        `prompt_length`: tokens of `input_ids` that the output repeats.
        """
        from transformers import LogitsProcessorList

        sampler = CandidateSampler(self.sampling, [row.seed for row in rows], prompt_length)
        return {
            "max_new_tokens": self.sampling.max_new_tokens,
            # These override the model's generation config: only the sampler draws tokens.
            "do_sample": False,
            "num_beams": 1,
            "temperature": None,
            "top_p": None,
            "top_k": None,
            "repetition_penalty": None,
            "logits_processor": LogitsProcessorList([sampler]),
        }

    def pixels(self, images: Sequence[Image.Image]) -> Any:
        """Input of the vision tower, on the device and in the model's precision."""
        found = self.processor.image_processor(list(images), return_tensors="pt")
        return found.to(self.device, self.model.dtype)

    def decode(self, tokens: torch.Tensor) -> list[str]:
        """Texts of generated tokens."""
        texts: list[str] = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return texts


class Family(ABC):
    """Generates texts with one kind of model; encodes an image once for all rows, where it can."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded

    @abstractmethod
    def generate(self, images: Sequence[Image.Image], rows: Sequence[CandidateRow]) -> list[str]:
        """One text for each row, without the prompt. Called under torch's inference mode."""
