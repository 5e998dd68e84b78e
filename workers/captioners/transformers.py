"""Captions by a vision-language model that transformers loads: BLIP, LLaVA, SmolVLM and others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaption.connections.errors import Fatal
from kaption.schemas import Caption
from kaption.workers.captioners._family import CandidateRow, Family, Loaded
from kaption.workers.captioners._sampling import forget_sampling, image_digest, row_seed
from kaption.workers.captioners._trial import require_weights, try_family
from kaption.workers.captioners.answers import caption_of, whole_sentences
from kaption.workers.captioners.captioner import CaptionContext
from kaption.workers.captioners.prompts import PROMPT_SETS, Prompt
from kaption.workers.models.device import (
    loading_guard,
    memory_guard,
    no_custom_code,
    prepare_torch,
    torch_dtype,
    weights_digest,
)
from kaption.workers.policy import RecaptionPolicy, TransformersPolicy
from kaption.workers.text.clauses import cut

if TYPE_CHECKING:
    from PIL import Image

DEMO_FOLDER = Path(__file__).parent.parent / "demo" / "models" / "captioner"
_PLACES = ("name_or_path", "_name_or_path", "transformers_version")
_ALT_TEXT_CHARS = 300
"""A fused prompt quotes this much of the alt text: small models miss the question behind more."""


def build(policy: RecaptionPolicy) -> TransformersCaptioner:
    """Load the model. Raises Fatal with what to do where it cannot be loaded."""
    import transformers

    library: Any = transformers  # its loaders have no types
    library.logging.disable_progress_bar()
    library.logging.set_verbosity_error()  # its reports of many lines; what is wrong is told below
    given = policy.transformers
    device, precision = prepare_torch(given)
    name = str(DEMO_FOLDER) if given.model == "demo" else given.model
    what = f"the captioner model {given.model!r}"
    source: dict[str, Any] = {"revision": given.revision, "trust_remote_code": False}
    try:
        with loading_guard(what), no_custom_code(what):
            processor = library.AutoProcessor.from_pretrained(name, **source)
            model, info = library.AutoModelForImageTextToText.from_pretrained(
                name,
                dtype=torch_dtype(precision),
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **source,
            )
            require_weights(given.model, info)
            model = model.eval().requires_grad_(requires_grad=False).to(device)
    # from_pretrained raises these for a wrong name, a missing file or package, no network, other
    # weights and an unknown architecture.
    except (
        *(ImportError, OSError, ValueError, KeyError, RuntimeError, AttributeError, TypeError),
    ) as error:
        raise Fatal(_advice(given, error)) from error
    forget_sampling(model)
    if getattr(processor, "tokenizer", None) is None:
        raise Fatal(_advice(given, ValueError("its processor has no tokenizer")))
    captioner = TransformersCaptioner(given, Loaded(model, processor, device, given.sampling))
    with loading_guard(what):
        captioner.try_out()
    return captioner


class TransformersCaptioner:
    """Asks the prompts of its set in turn, until there are `candidates` captions of an image.

    Fused prompts are skipped where there is no alt text. The same image and context give the same
    candidates in every batch, up to rounding: see `CandidateSampler`.
    """

    name = "transformers"
    uses_images = True

    def __init__(self, policy: TransformersPolicy, loaded: Loaded) -> None:
        self._policy = policy
        self._loaded = loaded
        self._family = _family(loaded)
        self._marks = loaded.marks
        self._prompts = _prompts(policy, loaded.model.config.model_type)
        self._pad = _pad_colour(getattr(loaded.processor, "image_processor", None))
        self.model = policy.model
        self.revision = policy.revision or weights_digest(loaded.model)
        self.uses_context = any(prompt.aspect == "fused" for prompt in self._prompts)
        parts = (
            self.model,
            self.revision,
            str(loaded.model.dtype),
            str(self._pad),
            policy.sampling.model_dump_json(),
            *_ways(loaded),
            *(f"{prompt.id} {prompt.template}" for prompt in self._prompts),
        )
        self.cache_id: str | None = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    def try_out(self) -> None:
        """Begin a caption with each prompt. Raises Fatal where the model cannot caption."""
        alt_text = "a red circle"
        try_family(self._loaded, [prompt.text(alt_text) for prompt in self._prompts], _family)

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
            alt_text = self._marks.broken(cut(context.alt_text, _ALT_TEXT_CHARS))
            for number, prompt in enumerate(self._questions(alt_text)):
                text = prompt.text(alt_text)
                seed = row_seed(self._policy.sampling.seed, digest, text, number)
                rows.append(CandidateRow(at, text, seed))
                asked.append(prompt)
        shown = [_squared(image, self._pad) for image in images] if self._pad else images
        with memory_guard(), torch.inference_mode():
            answers = self._family.generate(shown, rows)
        found: list[list[Caption]] = [[] for _ in images]
        for row, prompt, answer in zip(rows, asked, answers, strict=True):
            text = caption_of(answer.text)
            found[row.image].append(
                Caption(
                    text=whole_sentences(text) if answer.cut else text,
                    kind=prompt.kind,
                    truncated=answer.cut,
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
    kind = loaded.model.config.model_type
    if kind == "llava" and type(loaded.processor).__name__ != "LlavaProcessor":
        return Chat(loaded)  # Pixtral: an image has as many tokens as its size needs
    return families.get(kind, Chat)(loaded)


def _ways(loaded: Loaded) -> Iterator[str]:
    """How the model is asked and run: what its weights and our settings do not say."""
    model, processor = loaded.model, loaded.processor
    yield str(getattr(processor, "chat_template", None))
    yield str(getattr(processor.tokenizer, "chat_template", None))
    for settings in (
        processor.to_dict(),
        getattr(getattr(processor, "image_processor", None), "to_dict", dict)(),
        model.generation_config.to_dict(),
        model.config.to_dict(),
        {"tokens": sorted(map(str, processor.tokenizer.added_tokens_decoder.items()))},
    ):
        yield json.dumps(_placeless(settings), sort_keys=True, default=str)


def _placeless(value: Any) -> Any:
    """Settings without the folder that they were read from and the library's version."""
    if isinstance(value, dict):
        return {str(k): _placeless(v) for k, v in value.items() if str(k) not in _PLACES}
    if isinstance(value, list | tuple):
        return [_placeless(each) for each in value]
    return value


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
    size = getattr(image_processor, "size", None) or {}  # None where a model takes any size
    square = size.get("height") is not None and size.get("height") == size.get("width")
    crop = getattr(image_processor, "crop_size", None)
    if hasattr(image_processor, "image_grid_pinpoints") or not (square or crop):
        return None
    if not getattr(image_processor, "image_mean", None):
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
    why = " ".join(str(error).split())[:500]
    return (
        f"the captioner model {policy.model!r} cannot be loaded: {why}. Give `demo`, a folder that"
        " save_pretrained wrote (model and processor), or a hub name (needs the hub or its cache)"
        " of an image-text-to-text model such as BLIP, BLIP-2, LLaVA or SmolVLM"
    )
