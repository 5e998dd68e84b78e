"""The interface of a model family, and the loaded model that it works with."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from kaption.schemas import Doubt
from kaption.workers.captioners._sampling import CandidateSampler
from kaption.workers.policy.recaption import SamplingPolicy
from kaption.workers.text.marks import Marks, written_tokens

if TYPE_CHECKING:
    import torch
    from PIL import Image

Inputs = Mapping[str, Any]
"""Arguments of a model for one image: tensors on the CPU, in the model's precision."""

RIVAL = 0.1
"""Probability from which another word than the drawn one makes that one doubtful."""
_LAST_WORD = re.compile(r"[^\W\d_]+\Z")
_MARKED = ("image", "video", "audio", "boi", "eoi", "start_image", "end_image", "fake_image")


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """An image as a model takes it."""

    digest: str
    """The digest of the image's pixels."""
    inputs: Inputs

    @property
    def nbytes(self) -> int:
        """Bytes of its tensors."""
        return sum(getattr(value, "nbytes", 0) for value in self.inputs.values())


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
    tokens: int
    """Tokens that the model wrote, the end token included."""
    doubts: tuple[Doubt, ...] = ()
    """Words that have rivals by the model's own probabilities, before they were changed to draw."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loaded model with its processor, device and sampling."""

    model: Any
    processor: Any
    device: torch.device
    sampling: SamplingPolicy
    first_logits: list[torch.Tensor] | None = None
    """Collects the logits of each row's first token, for a trial; None otherwise."""

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

    def batch(self, shown: Sequence[Shown]) -> dict[str, Any]:
        """The inputs of several images as one, on the device.

        Tokens are padded on the left. The rest is joined along the first axis; where images differ
        along another one, such as in tiles, zeros are added at its end.
        """
        import torch
        from torch.nn.functional import pad

        found: dict[str, Any] = {}
        for name in shown[0].inputs:
            parts = [each.inputs[name] for each in shown]
            tokens = shown[0].inputs.get("input_ids") is not None and all(
                each.inputs[name].shape == each.inputs["input_ids"].shape for each in shown
            )
            fill = self.pad if name == "input_ids" else 0
            most = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
            padded = []
            for part in parts:
                short = [a - b for a, b in zip(most, part.shape[1:], strict=True)]
                sides = [side for n in reversed(short) for side in ((n, 0) if tokens else (0, n))]
                padded.append(pad(part, sides, value=fill) if any(short) else part)
            found[name] = torch.cat(padded).to(self.device)
        return found

    @property
    def pad(self) -> int:
        """The token that fills rows up."""
        own = self.tokenizer.pad_token_id
        token: int = self.tokenizer.eos_token_id if own is None else own
        return token

    def decode(
        self,
        tokens: torch.Tensor,
        ends: Sequence[int] = (),
        options: Mapping[str, Any] | None = None,
    ) -> list[Drawn]:
        """Answers of generated tokens, (rows, length).

        `ends` are the tokens that end an answer; unset, those of the model's generation config.
        `options` are those that `generate` had; without them no word is doubtful.
        """
        import torch

        texts: list[str] = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        given = self.model.generation_config.eos_token_id
        known = given if isinstance(given, list) else [given]
        stops = set(ends) or {*known, self.tokenizer.eos_token_id}
        steps = options["logits_processor"][-1].likeliest if options else []
        likely = (
            torch.stack([torch.cat([p, at.to(p)], 1) for p, at in steps], 1).tolist()
            if steps
            else [[]] * len(texts)
        )
        return [
            Drawn(
                text,
                end is None,
                len(row) if end is None else end,
                tuple(self._doubts(text, row, each, stops)),
            )
            for text, row, each in zip(texts, tokens.tolist(), likely, strict=True)
            for end in [next((n for n, token in enumerate(row, 1) if token in stops), None)]
        ]

    def _doubts(
        self,
        text: str,
        row: Sequence[int],
        likely: Sequence[Sequence[float]],
        stops: Container[int],
    ) -> Iterator[Doubt]:
        for at, (token, values) in enumerate(zip(row, likely, strict=False)):
            if token in stops:
                return
            half = len(values) // 2
            rivals = [
                int(other)
                for share, other in zip(values[:half], values[half:], strict=True)
                if share >= RIVAL and int(other) != token
            ]
            if not rivals:
                continue
            told, *others = (
                self.tokenizer.decode([*row[:at], each], skip_special_tokens=True)
                for each in (token, *rivals)
            )
            word = _LAST_WORD.search(told)
            if word is None or not text.startswith(told):
                continue
            found = [
                other[word.start() :].lower()
                for other in others
                if _LAST_WORD.fullmatch(other, word.start())
            ]
            if found:
                yield Doubt(start=word.start(), rivals=tuple(found))


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

    def processed(self, image: Image.Image) -> Inputs:
        """What the model's processor makes of one image."""
        found = self._loaded.processor.image_processor([image], return_tensors="pt")
        return dict(found.to("cpu", self._loaded.model.dtype))

    def prepare(self, image: Image.Image) -> Inputs:
        """What `generate` needs of one image. Called by several threads at once."""
        return self.processed(image)

    @abstractmethod
    def generate(self, shown: Sequence[Shown], rows: Sequence[CandidateRow]) -> list[Drawn]:
        """One answer for each row, without the prompt. Called under torch's inference mode."""
