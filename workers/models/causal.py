"""A causal language model of transformers, which says how likely each text is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from kaption.connections.errors import Fatal
from kaption.workers.models.device import (
    first_line,
    load_pretrained,
    loading,
    loading_guard,
    memory_guard,
    pick_device,
    pick_precision,
    require_vocabulary,
    torch_dtype,
    weights_digest,
)
from kaption.workers.policy.select import PerplexityPolicy
from kaption.workers.text.marks import Marks

if TYPE_CHECKING:
    import torch

_ADVICE = (
    "Set select.perplexity.model to a folder that save_pretrained wrote (model and tokenizer), or"
    " to a hub name (needs the hub or its cache) of a causal language model such as GPT-2 or Qwen3"
)
MOST_TOKENS = 512
"""The most tokens that are read of a text: more do not change what its perplexity says."""
_REMEMBERED = 10_000
"""Texts whose loss is remembered: an alt text may stand at many images, and batches come again."""
_FEWEST = 4
_TRIED = "A red vase stands on a wooden table beside an open window."


@dataclass(frozen=True, slots=True)
class LoadedCausal:
    """A causal model, its tokenizer and device."""

    model: Any
    tokenizer: Any
    device: torch.device


def load_causal(policy: PerplexityPolicy) -> CausalModel:
    """The model of the policy, tried out. Raises Fatal with what to do where it is of no use."""
    what = f"the perplexity model {policy.model!r}"
    device = pick_device(policy.device)
    dtype = torch_dtype(pick_precision(policy.precision, device))
    classes = ("AutoTokenizer", "AutoModelForCausalLM")
    with loading(what, _ADVICE):
        tokenizer, model = load_pretrained(
            what, policy.model, policy.revision, classes, _ADVICE, dtype=dtype
        )
        added = tokenizer.added_tokens_decoder.values()
        marks = Marks(str(token) for token in added if token.special)
        require_vocabulary(what, tokenizer, marks, model, _ADVICE)
        model = model.to(device)
    causal = CausalModel(policy, LoadedCausal(model, tokenizer, device))
    with loading_guard(what):
        causal.try_out()
    return causal


class CausalModel:
    """Reads many texts at once. May be called from any thread; one reads at a time."""

    def __init__(self, policy: PerplexityPolicy, loaded: LoadedCausal) -> None:
        self._loaded = loaded
        self.what = f"the perplexity model {policy.model!r}"
        self._batch = policy.batch_texts
        self.revision = policy.revision or weights_digest(loaded.model)
        tokenizer, config = loaded.tokenizer, loaded.model.config.get_text_config()
        begins = (tokenizer.bos_token_id, tokenizer.cls_token_id, tokenizer.eos_token_id)
        self._begin = [token for token in begins if token is not None][:1]
        context = getattr(config, "max_position_embeddings", None) or MOST_TOKENS
        self._most = min(context, MOST_TOKENS)
        self._known: dict[str, float] = {}
        self._lock = Lock()

    def losses(self, texts: Sequence[str]) -> list[float]:
        """The mean of -log p over the tokens of each text; 0 for a text without any.

        Texts longer than `MOST_TOKENS` are read up to there. Raises OutOfMemory.
        """
        with self._lock:
            new = [text for text in dict.fromkeys(texts) if text not in self._known]
            if len(self._known) + len(new) > _REMEMBERED:
                self._known.clear()
                new = list(dict.fromkeys(texts))
            # Texts of one length together, so that little is padded.
            rows = sorted(((self._tokens(text), text) for text in new), key=lambda row: len(row[0]))
            for at in range(0, len(rows), self._batch):
                part = rows[at : at + self._batch]
                found = self._read([tokens for tokens, _ in part])
                self._known |= {text: loss for (_, text), loss in zip(part, found, strict=True)}
            return [self._known[text] for text in texts]

    def try_out(self) -> None:
        """Read a sentence. Raises Fatal where the losses mean nothing."""
        tokens = self._tokens(_TRIED)
        if len(tokens) < _FEWEST:  # transformers makes an empty tokenizer where files are missing
            raise self._useless("its tokenizer reads nothing in a sentence: is it in the folder?")
        half = len(tokens) // 2
        try:
            (whole,), (part,) = self._logits([tokens]), self._logits([tokens[:half]])
        except Exception as error:  # a model that is no causal one raises anything
            raise self._useless(f"{type(error).__name__}: {first_line(error)}") from error
        if not whole.isfinite().all():
            raise self._useless(
                f"it computes no finite numbers in {self._loaded.model.dtype}: set"
                " select.perplexity.precision to fp32 or bf16, or fetch its files again"
            )
        # A model such as BERT reads what comes after: it would always know the next token.
        if (whole[:half] - part[:half]).abs().max() > 0.05 * whole.std().clamp(min=1e-3):
            raise self._useless("it is not causal: later words change what it expects before them")

    def _useless(self, why: str) -> Fatal:
        return Fatal(f"{self.what} cannot tell how likely a text is: {why}. {_ADVICE}")

    def _tokens(self, text: str) -> list[int]:
        # A special token that a text spells out is read as its characters.
        ids = self._loaded.tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, verbose=False
        ).input_ids
        return [*self._begin, *ids][: self._most]

    def _read(self, rows: Sequence[list[int]]) -> list[float]:
        from torch.nn.functional import cross_entropy

        longest = max(map(len, rows))
        if longest < 2:  # nothing is foretold
            return [0.0] * len(rows)
        with memory_guard():
            logits = self._logits(rows)[:, :-1]
            wanted = logits.new_full(logits.shape[:2], -100).long()
            for at, row in enumerate(rows):
                wanted[at, : len(row) - 1] = wanted.new_tensor(row[1:])
            losses = cross_entropy(logits.transpose(1, 2), wanted, reduction="none").sum(1)
            counts = (wanted >= 0).sum(1).clamp(min=1)
            return [float(loss) for loss in losses / counts]

    def _logits(self, rows: Sequence[list[int]]) -> torch.Tensor:
        """(n, longest, vocabulary) as float32. Behind the end of a shorter row it says nothing."""
        import torch

        longest = max(map(len, rows))
        # A causal model does not see what is padded on the right; the mask is for its positions.
        ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        device = self._loaded.device
        with torch.inference_mode():
            found: torch.Tensor = self._loaded.model(
                input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False
            ).logits
            return found.float()
