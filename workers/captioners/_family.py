"""The interface of a model family, and the loaded model that it works with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from kaption.workers.captioners._sampling import CandidateSampler
from kaption.workers.policy import SamplingPolicy
from kaption.workers.text.marks import Marks, written_tokens

if TYPE_CHECKING:
    import torch
    from PIL import Image

_MARKED = ("image", "video", "audio", "boi", "eoi", "start_image", "end_image", "fake_image")


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """One candidate that is to be generated."""

    image: int
    """Index into the batch's images."""
    prompt: str
    seed: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a model wrote for one row."""

    text: str
    cut: bool
    """The model did not end by itself: it reached the limit of tokens."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loaded model with its processor, device and sampling."""

    model: Any
    processor: Any
    device: torch.device
    sampling: SamplingPolicy
    first_logits: list[torch.Tensor] | None = None
    """Where the logits of the first token of each row go, for a trial."""

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of the processor."""
        return self.processor.tokenizer

    @property
    def marks(self) -> Marks:
        """The special tokens that no text from the web may become."""
        named = (getattr(self.processor, f"{noun}_token", None) for noun in _MARKED)
        own = (str(token) for token in named if token)
        return Marks((*written_tokens(self.tokenizer), *own))

    def options(self, rows: Sequence[CandidateRow], prompt_length: int) -> dict[str, Any]:
        """Keyword arguments of `generate` for these rows.

        `prompt_length`: tokens of `input_ids` that the output repeats.
        """
        from transformers import LogitsProcessorList

        sampler = CandidateSampler(self.sampling, [row.seed for row in rows], prompt_length)
        processors = LogitsProcessorList([sampler])
        if self.first_logits is not None:
            processors.insert(0, partial(_record, self.first_logits, prompt_length))
        return {
            "max_new_tokens": self.sampling.max_new_tokens,
            # These override the model's generation config: only the sampler draws tokens.
            "do_sample": False,
            "num_beams": 1,
            "temperature": None,
            "top_p": None,
            "top_k": None,
            "repetition_penalty": None,
            "logits_processor": processors,
        }

    def pixels(self, images: Sequence[Image.Image]) -> Any:
        """Input of the vision tower, on the device and in the model's precision."""
        found = self.processor.image_processor(list(images), return_tensors="pt")
        return found.to(self.device, self.model.dtype)

    def decode(self, tokens: torch.Tensor, ends: Sequence[int] = ()) -> list[Drawn]:
        """Answers of generated tokens, (rows, length).

        `ends` are the tokens that end an answer; unset, those of the model's generation config.
        """
        texts: list[str] = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        given = self.model.generation_config.eos_token_id
        known = given if isinstance(given, list) else [given]
        stops = set(ends) or {*known, self.tokenizer.eos_token_id}
        return [
            Drawn(text, stops.isdisjoint(row))
            for text, row in zip(texts, tokens.tolist(), strict=True)
        ]


def _record(
    kept: list[torch.Tensor], prompt_length: int, ids: torch.Tensor, logits: torch.Tensor
) -> torch.Tensor:
    if ids.shape[1] == prompt_length:
        kept.append(logits.detach().float().cpu())
    return logits


class Family(ABC):
    """Generates texts with one kind of model; encodes an image once for all rows, where it can."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded

    @abstractmethod
    def generate(self, images: Sequence[Image.Image], rows: Sequence[CandidateRow]) -> list[Drawn]:
        """One answer for each row, without the prompt. Called under torch's inference mode."""
