"""The scorer for open_clip models: from a folder, from the hub, or an architecture with weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaption.connections.errors import Fatal
from kaption.schemas.letterbox import Letterbox
from kaption.workers.models.device import (
    first_line,
    loading_guard,
    memory_guard,
    no_custom_code,
    prepare_torch,
    torch_dtype,
    weights_digest,
)
from kaption.workers.models.probe import try_scorer
from kaption.workers.policy import ClipPolicy
from kaption.workers.text.marks import Marks, written_tokens

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL import Image

DEMO_FOLDER = Path(__file__).parent.parent / "demo" / "models" / "clip"
_SIDE_FILE = "kaption.json"
"""A file in a model's folder that holds {"recommended_score": cosine, ...}."""
_TEXTS_AT_ONCE = 128
"""Texts in one batch of the model. A long text has many windows, so that the texts of a batch of
records are too many at once."""
_STEP = 16
_PUBLISHED: dict[tuple[str, str | None], float] = {("ViT-B-32", "openai"): 0.28}
"""Cosine from which on a published data set kept its pairs, by architecture and pretrained tag.
LAION-5B (Schuhmann et al. 2022) kept English pairs at 0.28 and more; LAION-400M at 0.30."""
_CLEANINGS = 8
"""Times that entities within entities are resolved; deeper ones lose their ampersands."""


def build(policy: ClipPolicy) -> OpenClipScorer:
    """Load a model onto its device and try it. Raises Fatal with what to do where that fails."""
    name = f"local-dir:{DEMO_FOLDER}" if policy.model == "demo" else policy.model
    device, precision = prepare_torch(policy)
    what = f"the scorer model {_given(policy)}"
    # open_clip's mixed precision is for towers of its own: those of CoCa and of transformers need
    # the same precision in all layers.
    for attempt in (precision, f"pure_{precision}"):
        try:
            with loading_guard(what), no_custom_code(what):
                scorer = _loaded(policy, name, device, attempt)
        # open_clip raises one of these for a wrong name, a missing file, no network or other
        # weights.
        except (OSError, RuntimeError, ValueError, KeyError, AssertionError, TypeError) as error:
            raise Fatal(_advice(policy, error)) from error
        try:
            with loading_guard(what):
                try_scorer(scorer)
        except (RuntimeError, TypeError, ValueError, AttributeError, IndexError) as error:
            failure = error
        else:
            return scorer
        if precision == "fp32":
            break
    raise Fatal(
        f"{what} loads and cannot score an image on {device} in {precision}:"
        f" {first_line(failure)}. Set clip.precision to fp32, or take another model"
    ) from failure


def _loaded(policy: ClipPolicy, name: str, device: torch.device, precision: str) -> OpenClipScorer:
    import open_clip

    tag: dict[str, Any] = {}
    if policy.pretrained:
        tag = open_clip.get_pretrained_cfg(name.replace("/", "-"), policy.pretrained)
    # The registry knows the activation that a tag's weights were trained with; the architecture's
    # file has another one, and open_clip only warns.
    quick_gelu = bool(tag.get("quick_gelu"))
    model, _, _ = open_clip.create_model_and_transforms(
        name,
        pretrained=policy.pretrained,
        precision=precision,
        device=device,
        force_quick_gelu=quick_gelu,
        require_pretrained=True,
    )
    config = open_clip.get_model_config(name.replace("/", "-") if policy.pretrained else name) or {}
    if quick_gelu:
        config["quick_gelu"] = True
    hub = bool(config.get("text_cfg", {}).get("hf_tokenizer_name"))
    tokenizer = open_clip.get_tokenizer(name, **({"trust_remote_code": False} if hub else {}))
    architecture = json.dumps([config, precision], sort_keys=True, default=str) + repr(model)
    return OpenClipScorer(
        policy, name, OpenClipParts(model, tokenizer, device, precision), architecture
    )


@dataclass(frozen=True, slots=True)
class OpenClipParts:
    """A model on its device, with its tokenizer."""

    model: Any
    tokenizer: Any
    device: torch.device
    precision: str
    """As open_clip names it: ``bf16``, or ``pure_bf16`` where all layers have it."""


class OpenClipScorer:
    """See `kaption.workers.models.scorer.Scorer`. Made by `build`."""

    def __init__(
        self,
        policy: ClipPolicy,
        name: str,
        parts: OpenClipParts,
        architecture: str,
    ) -> None:
        import open_clip
        import torch

        model, tokenizer, device = parts.model, parts.tokenizer, parts.device
        self.model = policy.model if not policy.pretrained else f"{name}/{policy.pretrained}"
        self.revision = _revision(policy, model, architecture)
        self.recommended_score = _recommended(policy, name)
        self.context_length = int(tokenizer.context_length)
        self._letterbox = Letterbox.of(open_clip.get_model_preprocess_cfg(model))
        self.preprocessing_id = self._letterbox.id
        self._device = device
        self._dtype = torch_dtype(parts.precision.removeprefix("pure_"))
        self._on_gpu = device.type == "cuda"
        self._model = model.eval()
        if self._on_gpu:
            self._model.visual.to(memory_format=torch.channels_last)
        self._tokenizer = tokenizer
        self._token_ids = _token_ids(tokenizer)
        self._clean, self._marks = _cleaning(tokenizer), Marks(_special(tokenizer))
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(self._letterbox.mean, device=device).view(shape) * 255
        self._std = torch.tensor(self._letterbox.std, device=device).view(shape) * 255

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """RGB image to (3, h, w) uint8 on the CPU: the whole image, padded."""
        return self._letterbox.pixels(image)

    def encode_images(self, pixels: Sequence[torch.Tensor]) -> NDArray[np.float32]:
        """(n, d) unit rows. Raises OutOfMemory."""
        import torch

        layout = torch.channels_last if self._on_gpu else torch.contiguous_format
        with memory_guard(), torch.inference_mode():
            batch = torch.stack(list(pixels))
            if self._on_gpu:
                batch = batch.pin_memory()
            batch = batch.to(self._device, non_blocking=True)
            batch = ((batch.float() - self._mean) / self._std).to(self._dtype)
            batch = batch.contiguous(memory_format=layout)
            return _unit_rows(self._model.encode_image(batch))

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) unit rows; each text must fit `context_length`. Raises OutOfMemory."""
        import numpy as np
        import torch

        rows = []
        with memory_guard(), torch.inference_mode():
            for start in range(0, len(texts), _TEXTS_AT_ONCE):
                plain = [self._plain(text) for text in texts[start : start + _TEXTS_AT_ONCE]]
                tokens = self._tokenizer(plain)
                spare = tokens[-1:].expand(_bucket(len(tokens)) - len(tokens), -1)
                encoded = self._model.encode_text(torch.cat([tokens, spare]).to(self._device))
                rows.append(_unit_rows(encoded)[: len(tokens)])
        return np.concatenate(rows)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, begin and end marks included."""
        return len(self._token_ids(self._plain(text)))

    def _plain(self, text: str) -> str:
        """The text without the special tokens that the tokenizer would read in it.

        The tokenizer's own cleaning comes first: it turns entities into characters.
        """
        if text.isascii() and "&" not in text and not self._marks.possible(text):
            return text  # cleaning takes half as long as tokenizing
        for _ in range(_CLEANINGS):
            cleaned = self._marks.broken(self._clean(text))
            if cleaned == text:
                return text
            text = cleaned
        return self._marks.broken(self._clean(text.replace("&", " ")))


def _bucket(size: int) -> int:
    """The batch size to pad to: few different ones, because backends keep memory for each shape."""
    return 1 << (size - 1).bit_length() if size <= _STEP else -(-size // _STEP) * _STEP


def _revision(policy: ClipPolicy, model: Any, architecture: str) -> str:
    """What embeddings depend on: the weights, or the given name for them, and the architecture."""
    if policy.revision is None:
        return weights_digest(model, architecture)
    digest = hashlib.sha256(f"{policy.model} {policy.pretrained} {architecture}".encode())
    return f"{policy.revision}+{digest.hexdigest()[:8]}"


def _special(tokenizer: Any) -> Iterator[str]:
    inner = getattr(tokenizer, "tokenizer", None)
    if inner is None:
        return (tokenizer.decoder[number] for number in tokenizer.all_special_ids)
    return written_tokens(inner)


def _cleaning(tokenizer: Any) -> Callable[[str], str]:
    from open_clip.tokenizer import basic_clean, canonicalize_text

    # Only SigLipTokenizer has none; this is what it does.
    found: Callable[[str], str] = getattr(
        tokenizer, "clean_fn", lambda text: canonicalize_text(basic_clean(text))
    )
    return found


def _token_ids(tokenizer: Any) -> Callable[[str], Sequence[int]]:
    """A function for all tokens of a text: open_clip's tokenizers give cut and padded rows only."""
    inner = getattr(tokenizer, "tokenizer", None)
    if inner is None:  # SimpleTokenizer: its `encode` leaves out the two marks
        return lambda text: (0, *tokenizer.encode(text), 0)
    clean = _cleaning(tokenizer)

    def ids(text: str) -> Sequence[int]:
        found: Sequence[int] = inner(clean(text), verbose=False).input_ids
        return found

    return ids


def _recommended(policy: ClipPolicy, name: str) -> float:
    if policy.recommended_score is not None:
        return policy.recommended_score
    found = _PUBLISHED.get((name.removesuffix("-quickgelu").replace("/", "-"), policy.pretrained))
    if name.startswith("local-dir:"):
        side_file = Path(name.removeprefix("local-dir:")) / _SIDE_FILE
        if side_file.is_file():
            found = float(json.loads(side_file.read_text())["recommended_score"])
    if found is None:
        raise Fatal(
            f"no alignment threshold is known for the model {policy.model!r}: cosines differ from"
            " model to model, so measure one on your own pairs and set clip.recommended_score (or"
            f" put {_SIDE_FILE} with recommended_score into the model's folder); OpenAI's ViT-B-32"
            " is used at 0.28, and SigLIP models have far lower cosines"
        )
    return found


def _unit_rows(features: torch.Tensor) -> NDArray[np.float32]:
    import torch

    rows: NDArray[np.float32] = (
        torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
    )
    return rows


def _advice(policy: ClipPolicy, error: Exception) -> str:
    why = " ".join(str(error).split())[:500]
    return (
        f"the scorer model {_given(policy)} cannot be loaded: {why}. Give `demo`,"
        " `local-dir:FOLDER` (with open_clip_config.json, weights and tokenizer),"
        " `hf-hub:ORG/NAME` (needs the hub or its cache), or an open_clip"
        " architecture name with `pretrained` set to a tag or a file"
    )


def _given(policy: ClipPolicy) -> str:
    return f"{policy.model!r}" + (f" with {policy.pretrained!r}" if policy.pretrained else "")
