"""The scorer for open_clip models: from a folder, from the hub, or an architecture with weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaption.connections.errors import Fatal
from kaption.schemas.letterbox import Letterbox
from kaption.workers.models.device import memory_guard, prepare_torch, torch_dtype, weights_digest
from kaption.workers.policy import ClipPolicy

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


def build(policy: ClipPolicy) -> OpenClipScorer:
    """Load a model onto its device. Raises Fatal with what to do where it cannot be loaded."""
    import open_clip

    name = f"local-dir:{DEMO_FOLDER}" if policy.model == "demo" else policy.model
    device, precision = prepare_torch(policy)
    try:
        model, _, _ = open_clip.create_model_and_transforms(
            name,
            pretrained=policy.pretrained,
            precision=precision,
            device=device,
            require_pretrained=True,
        )
        tokenizer = open_clip.get_tokenizer(name)
    # open_clip raises one of these for a wrong name, a missing file, no network or other weights.
    except (OSError, RuntimeError, ValueError, KeyError, AssertionError) as error:
        raise Fatal(_advice(policy, error)) from error
    return OpenClipScorer(policy, name, model, tokenizer, device, precision)


class OpenClipScorer:
    """See `kaption.workers.models.scorer.Scorer`. Made by `build`."""

    def __init__(
        self,
        policy: ClipPolicy,
        name: str,
        model: Any,
        tokenizer: Any,
        device: torch.device,
        precision: str,
    ) -> None:
        import open_clip
        import torch

        self.model = policy.model if not policy.pretrained else f"{name}/{policy.pretrained}"
        self.revision = policy.revision or weights_digest(model)
        self.recommended_score = _recommended(policy, name)
        self.context_length = int(tokenizer.context_length)
        self._letterbox = Letterbox.of(open_clip.get_model_preprocess_cfg(model))
        self.preprocessing_id = self._letterbox.id
        self._device = device
        self._dtype = torch_dtype(precision)
        self._on_gpu = device.type == "cuda"
        self._model = model.eval()
        if self._on_gpu:
            self._model.visual.to(memory_format=torch.channels_last)
        self._tokenizer = tokenizer
        self._token_ids = _token_ids(tokenizer)
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
                tokens = self._tokenizer(list(texts[start : start + _TEXTS_AT_ONCE]))
                spare = tokens[-1:].expand(_bucket(len(tokens)) - len(tokens), -1)
                encoded = self._model.encode_text(torch.cat([tokens, spare]).to(self._device))
                rows.append(_unit_rows(encoded)[: len(tokens)])
        return np.concatenate(rows)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, begin and end marks included."""
        return len(self._token_ids(text))


def _bucket(size: int) -> int:
    """The batch size to pad to: few different ones, because backends keep memory for each shape."""
    return 1 << (size - 1).bit_length() if size <= _STEP else -(-size // _STEP) * _STEP


def _token_ids(tokenizer: Any) -> Callable[[str], Sequence[int]]:
    """A function for all tokens of a text: open_clip's tokenizers give cut and padded rows only."""
    inner = getattr(tokenizer, "tokenizer", None)
    if inner is None:  # SimpleTokenizer: its `encode` leaves out the two marks
        return lambda text: (0, *tokenizer.encode(text), 0)
    clean = tokenizer.clean_fn

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
    given = f"{policy.model!r}" + (f" with {policy.pretrained!r}" if policy.pretrained else "")
    why = str(error).strip().split("\n")[0][:500]
    return (
        f"the scorer model {given} cannot be loaded: {why}. Give `demo`, `local-dir:FOLDER` (with"
        " open_clip_config.json, weights and tokenizer), `hf-hub:ORG/NAME` (needs the hub or its"
        " cache), or an open_clip architecture name with `pretrained` set to a tag or a file"
    )
