"""Captions by a vision-language model that transformers loads: BLIP, LLaVA, SmolVLM and others."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaption.connections.errors import Fatal
from kaption.schemas import Caption
from kaption.workers.captioners._family import CandidateRow, Family, Loaded
from kaption.workers.captioners._sampling import image_digest, row_seed
from kaption.workers.captioners.captioner import CaptionContext
from kaption.workers.captioners.prompts import PROMPT_SETS, Prompt
from kaption.workers.models.device import memory_guard, prepare_torch, torch_dtype, weights_digest
from kaption.workers.policy import RecaptionPolicy, TransformersPolicy
from kaption.workers.text.clauses import cut

if TYPE_CHECKING:
    from PIL import Image

DEMO_FOLDER = Path(__file__).parent.parent / "demo" / "models" / "captioner"
_ALT_TEXT_CHARS = 300
"""A fused prompt quotes this much of the alt text: small models miss the question behind more."""


def build(policy: RecaptionPolicy) -> TransformersCaptioner:
    """Load the model. Raises Fatal with what to do where it cannot be loaded."""
    import transformers

    library: Any = transformers  # its loaders have no types
    library.logging.disable_progress_bar()
    given = policy.transformers
    device, precision = prepare_torch(given)
    name = str(DEMO_FOLDER) if given.model == "demo" else given.model
    try:
        processor = library.AutoProcessor.from_pretrained(name, revision=given.revision)
        model = library.AutoModelForImageTextToText.from_pretrained(
            name, revision=given.revision, dtype=torch_dtype(precision)
        )
    # from_pretrained raises these for a wrong name, a missing file or package, no network and an
    # unknown architecture.
    except (ImportError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise Fatal(_advice(given, error)) from error
    model = model.eval().requires_grad_(requires_grad=False).to(device)
    return TransformersCaptioner(given, Loaded(model, processor, device, given.sampling))


class TransformersCaptioner:
    """Asks the prompts of its set in turn, until there are `candidates` captions of an image.

    Fused prompts are skipped where there is no alt text. The same image and context give the same
    candidates in every batch, up to rounding: see `CandidateSampler`.
    """

    name = "transformers"
    uses_images = True

    def __init__(self, policy: TransformersPolicy, loaded: Loaded) -> None:
        self._policy = policy
        self._family = _family(loaded)
        self._prompts = _prompts(policy, loaded.model.config.model_type)
        self._pad = _pad_colour(loaded.processor.image_processor)
        self.model = policy.model
        self.revision = policy.revision or weights_digest(loaded.model)
        self.uses_context = any(prompt.aspect == "fused" for prompt in self._prompts)
        parts = (
            self.model,
            self.revision,
            str(loaded.model.dtype),
            str(self._pad),
            policy.sampling.model_dump_json(),
            *(f"{prompt.id} {prompt.template}" for prompt in self._prompts),
        )
        self.cache_id: str | None = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    def caption(
        self, images: Sequence[Image.Image], contexts: Sequence[CaptionContext]
    ) -> list[tuple[Caption, ...]]:
        """`candidates` captions for each image, without scores. Raises OutOfMemory."""
        import torch

        if not contexts:
            return []
        rows: list[CandidateRow] = []
        asked: list[Prompt] = []
        for at, (image, context) in enumerate(zip(images, contexts, strict=True)):
            digest = image_digest(image)
            alt_text = cut(context.alt_text, _ALT_TEXT_CHARS)
            for number, prompt in enumerate(self._questions(alt_text)):
                text = prompt.text(alt_text)
                seed = row_seed(self._policy.sampling.seed, digest, text, number)
                rows.append(CandidateRow(at, text, seed))
                asked.append(prompt)
        shown = [_squared(image, self._pad) for image in images] if self._pad else images
        with memory_guard(), torch.inference_mode():
            texts = self._family.generate(shown, rows)
        found: list[list[Caption]] = [[] for _ in images]
        for row, prompt, text in zip(rows, asked, texts, strict=True):
            found[row.image].append(
                Caption(
                    text=" ".join(text.split()),
                    kind=prompt.kind,
                    model=self.model,
                    revision=self.revision,
                    prompt_id=prompt.id,
                )
            )
        return [tuple(captions) for captions in found]

    def _questions(self, alt_text: str) -> list[Prompt]:
        usable = [p for p in self._prompts if p.aspect != "fused" or alt_text.strip()]
        return [usable[n % len(usable)] for n in range(self._policy.sampling.candidates)]


def _family(loaded: Loaded) -> Family:
    from kaption.workers.captioners._blip import Blip
    from kaption.workers.captioners._blip2 import Blip2
    from kaption.workers.captioners._chat import Chat
    from kaption.workers.captioners._idefics3 import Idefics3
    from kaption.workers.captioners._llava import Llava

    families: dict[str, type[Family]] = {
        "blip": Blip,
        "blip-2": Blip2,
        "idefics3": Idefics3,
        "llava": Llava,
        "smolvlm": Idefics3,
    }
    return families.get(loaded.model.config.model_type, Chat)(loaded)


def _prompts(policy: TransformersPolicy, model_type: str) -> tuple[Prompt, ...]:
    name = policy.prompts
    if name == "auto":
        own = "demo" if policy.model == "demo" else model_type
        name = own if own in PROMPT_SETS else "chat"
    if name not in PROMPT_SETS:
        raise Fatal(
            f"there is no prompt set {name!r}: set recaption.transformers.prompts to auto,"
            f" {', '.join(sorted(PROMPT_SETS))}"
        )
    return PROMPT_SETS[name]


def _pad_colour(image_processor: Any) -> tuple[int, int, int] | None:
    """The colour to pad images with to a square; None for models that take any ratio.

    Models that see one square would squash or crop other images. Their mean colour is used, which
    normalisation turns into 0.
    """
    size = image_processor.size
    square = size.get("height") is not None and size.get("height") == size.get("width")
    crop = getattr(image_processor, "crop_size", None)
    if hasattr(image_processor, "image_grid_pinpoints") or not (square or crop):
        return None
    red, green, blue = (round(channel * 255) for channel in image_processor.image_mean)
    return red, green, blue


def _squared(image: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    from PIL import Image

    side = max(image.size)
    square = Image.new("RGB", (side, side), colour)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def _advice(policy: TransformersPolicy, error: Exception) -> str:
    why = str(error).strip().split("\n")[0][:500]
    return (
        f"the captioner model {policy.model!r} cannot be loaded: {why}. Give `demo`, a folder that"
        " save_pretrained wrote (model and processor), or a hub name (needs the hub or its cache)"
        " of an image-text-to-text model such as BLIP, BLIP-2, LLaVA or SmolVLM"
    )
