"""The scorer for open_clip models: from a folder, from the hub, or an architecture with weights."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaption.connections.errors import Fatal
from kaption.schemas.letterbox import Letterbox
from kaption.workers.models._tokens import Tokens
from kaption.workers.models.device import (
    first_line,
    hub_guard,
    loading,
    loading_guard,
    memory_guard,
    not_loaded,
    prepare_torch,
    require_rows,
    torch_dtype,
    weights_digest,
)
from kaption.workers.models.probe import try_scorer
from kaption.workers.policy.score import ClipPolicy
from kaption.workers.presets import no_model

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL import Image

_ADVICE = (
    "Give `demo`, `local-dir:FOLDER` (with open_clip_config.json, weights and tokenizer),"
    " `hf-hub:ORG/NAME` (needs the hub or its cache), or an open_clip architecture name with"
    " `pretrained` set to a tag or a file"
)
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
_PROBABILITY = 0.01
"""The least probability that a SigLIP model gives a right text. Examples on the cards of SigLIP and
SigLIP 2 give a right text 10 to 32 % and a wrong one less than 0.1 %. This value was not measured
on a sample of pairs; it holds until the stream's own pairs give one."""


def build(policy: ClipPolicy) -> OpenClipScorer:
    """Load a model onto its device and try it. Raises Fatal with what to do where that fails."""
    if not policy.model:
        raise Fatal(no_model("clip.model"))
    _require_known(policy)
    name = f"local-dir:{DEMO_FOLDER}" if policy.model == "demo" else policy.model
    device, precision = prepare_torch(policy)
    what = f"the scorer model {policy.model!r}"
    what += f" with {policy.pretrained!r}" if policy.pretrained else ""
    # open_clip's mixed precision is for towers of its own: those of CoCa and of transformers need
    # the same precision in all layers.
    for attempt in (precision, f"pure_{precision}"):
        with loading(what, _ADVICE), _hub_of(policy, what):
            scorer = _loaded(policy, name, what, device, attempt)
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


def _require_known(policy: ClipPolicy) -> None:
    """Raise Fatal for a name that is neither a place nor in open_clip's registry."""
    import open_clip

    name, tag, why = policy.model.replace("/", "-"), policy.pretrained, ""
    if name == "demo" or ":" in name:
        return
    if name not in (known := open_clip.list_models()):
        why = f"no architecture is called {name!r}{_like(name, known)}"
    elif not tag:
        why = "clip.pretrained names no weights"
    elif not open_clip.get_pretrained_cfg(name, tag) and not Path(tag).is_file():
        known = open_clip.list_pretrained_tags_by_model(name)
        why = f"no weights are called {tag!r}{_like(tag, known)}"
    if why:
        raise Fatal(not_loaded(f"the scorer model {policy.model!r}", why, _ADVICE))


def _like(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known)
    return f" (did you mean {' or '.join(close)}?)" if close else ""


def _hub_of(policy: ClipPolicy, what: str) -> AbstractContextManager[None]:
    local = policy.model == "demo" or policy.model.startswith("local-dir:")
    return nullcontext() if local else hub_guard(what)


def _loaded(
    policy: ClipPolicy, name: str, what: str, device: torch.device, precision: str
) -> OpenClipScorer:
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
    text = getattr(model, "text", model)
    embedding = getattr(text, "token_embedding", None) or text.transformer.get_input_embeddings()
    require_rows(what, Tokens(tokenizer).highest, embedding, _ADVICE)
    architecture = json.dumps([config, precision], sort_keys=True, default=str) + repr(model)
    dtype = torch_dtype(precision.removeprefix("pure_"))
    return OpenClipScorer(policy, name, model, tokenizer, dtype, architecture)


class OpenClipScorer:
    """See `kaption.workers.models.scorer.Scorer`. Made by `build`."""

    def __init__(
        self,
        policy: ClipPolicy,
        name: str,
        model: Any,
        tokenizer: Any,
        dtype: torch.dtype,
        architecture: str,
    ) -> None:
        import open_clip
        import torch

        self.model = policy.model if not policy.pretrained else f"{name}/{policy.pretrained}"
        self.revision = _revision(policy, model, architecture)
        self.recommended_score = _recommended(policy, name, model)
        self.context_length = int(tokenizer.context_length)
        self._letterbox = Letterbox.of(open_clip.get_model_preprocess_cfg(model))
        self.preprocessing_id = self._letterbox.id
        self._device = next(model.parameters()).device
        self._dtype = dtype
        self._on_gpu = self._device.type == "cuda"
        self._model = model.eval()
        if self._on_gpu:
            self._model.visual.to(memory_format=torch.channels_last)
        self._tokens = Tokens(tokenizer)
        # A model whose text is pooled at its end mark, which sees no padding after it.
        self._cuts = (
            type(model) is open_clip.model.CLIP
            and model.attn_mask is not None
            and model.text_pool_type in ("argmax", "eos")
            and model.text_projection is not None
        )

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
            batch = self._letterbox.normalised(batch).to(self._dtype)
            batch = batch.contiguous(memory_format=layout)
            return _unit_rows(self._model.encode_image(batch))

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) unit rows; each text must fit `context_length`. Raises OutOfMemory."""
        import numpy as np
        import torch

        tokens = self._tokens.rows(texts)
        ends = self._ends(tokens)
        # Like lengths together, so that a long text does not make others as long as itself.
        order = np.argsort(ends, kind="stable")
        rows: list[NDArray[np.float32]] = []
        with memory_guard(), torch.inference_mode():
            for start in range(0, len(order), _TEXTS_AT_ONCE):
                at = order[start : start + _TEXTS_AT_ONCE]
                length = min(-(-int(ends[at[-1]]) // _STEP) * _STEP, tokens.shape[1])
                some = tokens[at, :length]
                spare = some[-1:].expand(_bucket(len(some)) - len(some), -1)
                batch = torch.cat([some, spare]).to(self._device)
                encoded = self._beginnings(batch) if self._cuts else self._model.encode_text(batch)
                rows.append(_unit_rows(encoded)[: len(some)])
        return np.concatenate(rows)[np.argsort(order)]

    def _ends(self, tokens: torch.Tensor) -> NDArray[np.int64]:
        """(n,): how many tokens of each row count; the others pad it."""
        import numpy as np

        if not self._cuts:
            return np.full(len(tokens), tokens.shape[1])
        marks = tokens
        if self._model.text_pool_type == "eos":
            marks = (tokens == self._model.text_eos_id).int()
        found: NDArray[np.int64] = marks.argmax(dim=-1).numpy() + 1
        return found

    def _beginnings(self, tokens: torch.Tensor) -> torch.Tensor:
        """CLIP.encode_text for rows shorter than the context, which that method does not take.

        Most of a row is padding, and in a causal model no token before it sees it.
        """
        import torch
        from open_clip.transformer import text_global_pool

        model, length = self._model, tokens.shape[1]
        dtype = model.transformer.get_cast_dtype()
        x = model.token_embedding(tokens).to(dtype)
        x = x + model.positional_embedding[:length].to(dtype)
        x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
        pooled = text_global_pool(x, tokens, model.text_pool_type, model.text_eos_id)
        project = model.text_projection
        found: torch.Tensor = (
            project(pooled) if isinstance(project, torch.nn.Linear) else pooled @ project
        )
        return found

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, begin and end marks included."""
        return self._tokens.count(text)


def _bucket(size: int) -> int:
    """The batch size to pad to: few different ones, because backends keep memory for each shape."""
    return 1 << (size - 1).bit_length() if size <= _STEP else -(-size // _STEP) * _STEP


def _revision(policy: ClipPolicy, model: Any, architecture: str) -> str:
    """What embeddings depend on: the weights, or the given name for them, and the architecture."""
    if policy.revision is None:
        return weights_digest(model, architecture)
    digest = hashlib.sha256(f"{policy.model} {policy.pretrained} {architecture}".encode())
    return f"{policy.revision}+{digest.hexdigest()[:8]}"


def _recommended(policy: ClipPolicy, name: str, model: Any) -> float | None:
    if policy.recommended_score is not None:
        return policy.recommended_score
    found = _PUBLISHED.get((name.removesuffix("-quickgelu").replace("/", "-"), policy.pretrained))
    if name.startswith("local-dir:"):
        side_file = Path(name.removeprefix("local-dir:")) / _SIDE_FILE
        if side_file.is_file():
            found = float(json.loads(side_file.read_text())["recommended_score"])
    if found is None and getattr(model, "logit_bias", None) is not None:
        # sigmoid(cosine * scale + bias) = probability, solved for the cosine
        wanted = math.log(_PROBABILITY / (1 - _PROBABILITY))
        found = float((wanted - model.logit_bias) / model.logit_scale.exp())
    return found


def _unit_rows(features: torch.Tensor) -> NDArray[np.float32]:
    import torch

    rows: NDArray[np.float32]
    rows = torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
    return rows
