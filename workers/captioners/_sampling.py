"""Draws tokens so that a candidate depends on its image and prompt alone, not on its batch."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from kaption.workers.policy.recaption import SamplingPolicy

if TYPE_CHECKING:
    import torch
    from PIL import Image

# The constants of splitmix64 (Steele et al. 2014) as signed numbers.
_GAMMA = 0x9E3779B97F4A7C15 - 2**64
_MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2 = 0x94D049BB133111EB - 2**64
_LIKELIEST = 4
_TOKEN_RULES = (
    *("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"),
    *("forced_bos_token_id", "forced_eos_token_id", "bad_words_ids"),
    *("suppress_tokens", "begin_suppress_tokens"),
)


def image_digest(image: Image.Image) -> str:
    """Digest of an image's pixels."""
    return hashlib.sha256(image.tobytes()).hexdigest()


def row_seed(seed: int, image: str, prompt: str, number: int) -> int:
    """The seed of one candidate, 63 bits; `number` tells candidates of one prompt apart."""
    text = "\n".join((str(seed), image, str(number), prompt))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def forget_sampling(model: Any) -> None:
    """Leave in a model's generation config, and in its parts', only which tokens are allowed.

    `generate` would apply the rest besides our sampler: a checkpoint's repetition rules, beams and
    lengths.
    """
    import transformers

    library: Any = transformers
    for part in model.modules():
        own = getattr(part, "generation_config", None)
        if own is not None:
            kept = {name: getattr(own, name, None) for name in _TOKEN_RULES}
            part.generation_config = library.GenerationConfig(**kept)


class CandidateSampler:
    """A logits processor for `generate(do_sample=False)`, which takes each row's largest logit.

    It adds Gumbel noise to the logits: the largest is then a draw from their softmax. The noise
    comes from a counter-based generator over row seed, step and token. torch's generators are not
    used, because their draws depend on the shape of the whole batch. Repetition is penalised over
    generated tokens only (as in Keskar et al. 2019): words of the prompt must stay usable.
    """

    def __init__(self, policy: SamplingPolicy, seeds: list[int], prompt_length: int) -> None:
        import torch

        self._policy = policy
        self._seeds = torch.tensor(seeds, dtype=torch.int64)
        self._prompt_length = prompt_length
        self.likeliest: list[tuple[torch.Tensor, torch.Tensor]] = []
        """For each step the model's own largest probabilities and their tokens, (rows, n) each."""

    def __call__(self, ids: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Noisy logits from (rows, length) tokens so far and (rows, vocabulary) logits."""
        import torch

        generated = ids[:, self._prompt_length :]
        logits = logits.float()
        self.likeliest.append(logits.softmax(-1).topk(min(_LIKELIEST, logits.shape[1])))
        if generated.shape[1] and self._policy.repetition_penalty != 1:
            penalty = self._policy.repetition_penalty
            seen = logits.gather(1, generated)
            seen = torch.where(seen < 0, seen * penalty, seen / penalty)
            logits = logits.scatter(1, generated, seen)
        logits = logits / self._policy.temperature
        if self._policy.top_p < 1:
            logits = logits.masked_fill(~self._nucleus(logits), -torch.inf)
        return logits + self._noise(logits, generated.shape[1])

    def _nucleus(self, logits: torch.Tensor) -> torch.Tensor:
        """The smallest set of tokens whose probability reaches top_p (Holtzman et al. 2019)."""
        import torch

        ordered, order = logits.softmax(-1).sort(-1, descending=True)
        inside = ordered.cumsum(-1) - ordered < self._policy.top_p
        return torch.zeros_like(inside).scatter(1, order, inside)

    def _noise(self, logits: torch.Tensor, step: int) -> torch.Tensor:
        import torch

        self._seeds = self._seeds.to(logits.device)
        tokens = torch.arange(logits.shape[1], device=logits.device)
        state = _mixed(self._seeds + step * 2 + 1)[:, None] + (tokens + 1) * _GAMMA
        bits = (_mixed(state) >> 40) & 0xFFFFFF
        uniform = (bits.float() + 0.5) / 2**24
        return -torch.log(-torch.log(uniform))


def _mixed(state: torch.Tensor) -> torch.Tensor:
    """The output function of splitmix64; the masks make torch's signed shifts logical."""
    state = (state ^ ((state >> 30) & (2**34 - 1))) * _MIX_1
    state = (state ^ ((state >> 27) & (2**37 - 1))) * _MIX_2
    return state ^ ((state >> 31) & (2**33 - 1))
