"""Captions by a vision-language model that transformers loads: BLIP, LLaVA, SmolVLM and others."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaption.connections.errors import Fatal
from kaption.schemas import Caption
from kaption.workers.captioners._blip import Blip
from kaption.workers.captioners._blip2 import Blip2, InstructBlip
from kaption.workers.captioners._chat import Chat
from kaption.workers.captioners._encoded import Encoded
from kaption.workers.captioners._family import CandidateRow, Family, Loaded, Shown
from kaption.workers.captioners._placement import placed, placement
from kaption.workers.captioners._sampling import forget_sampling, image_digest, row_seed
from kaption.workers.captioners._shared import SharedPrefix
from kaption.workers.captioners._trial import try_family
from kaption.workers.captioners.captioner import CaptionContext, Spend
from kaption.workers.captioners.prompts import PROMPT_SETS, Chain, Prompt, Question, prompt_set
from kaption.workers.models.device import (
    load_pretrained,
    loading,
    loading_guard,
    memory_guard,
    prepare_torch,
    require_rows,
    require_vocabulary,
    weights_digest,
)
from kaption.workers.policy.recaption import RecaptionPolicy, SamplingPolicy, TransformersPolicy
from kaption.workers.presets import no_model
from kaption.workers.text.marks import highest_token

if TYPE_CHECKING:
    from PIL import Image

_ADVICE = (
    "Give `demo`, a folder that save_pretrained wrote (model and processor), or a hub name (needs"
    " the hub or its cache) of an image-text-to-text model such as BLIP, BLIP-2, LLaVA or SmolVLM"
)
DEMO_FOLDER = Path(__file__).parent.parent / "demo" / "models" / "captioner"
FAMILIES: dict[str, type[Family]] = {
    "blip": Blip,
    "blip-2": Blip2,
    "instructblip": InstructBlip,
    "florence2": Encoded,
    "paligemma": Encoded,
    **dict.fromkeys(
        (
            *("gemma3", "idefics3", "internvl", "llava", "llava_next", "llava_onevision"),
            *("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "smolvlm"),
        ),
        SharedPrefix,
    ),
}
"""Families by `model_type`; all others are Chat. Tests compare each with the library's answers."""
_PLACES = ("name_or_path", "_name_or_path", "transformers_version")


def build(policy: RecaptionPolicy) -> TransformersCaptioner:
    """Load the model. Raises Fatal with what to do where it cannot be loaded."""
    given = policy.transformers
    what = f"the captioner model {given.model!r}"
    if not given.model:
        raise Fatal(no_model("recaption.transformers.model"))
    device, precision = prepare_torch(given)
    name = str(DEMO_FOLDER) if given.model == "demo" else given.model
    classes = ("AutoProcessor", "AutoModelForImageTextToText")
    place = placement(given, device, precision)
    with loading(what, _ADVICE):
        processor, model = load_pretrained(what, name, given.revision, classes, _ADVICE, **place)
        device = placed(what, model, place, device)
        if getattr(processor, "tokenizer", None) is None:
            raise ValueError("its processor has no tokenizer")
        loaded = Loaded(model, processor, device, given.sampling)
        require_vocabulary(what, processor.tokenizer, loaded.marks, model, _ADVICE)
        if (own := getattr(processor, "qformer_tokenizer", None)) is not None:
            rows = model.qformer.get_input_embeddings()
            require_rows(what, highest_token(own, loaded.marks), rows, _ADVICE)
    forget_sampling(model)
    captioner = TransformersCaptioner(given, loaded)
    if given.device_map and not isinstance(captioner._family, Chat):
        raise Fatal(
            f"models of the kind {model.config.model_type!r} are not spread over GPUs: unset"
            " recaption.transformers.device_map"
        )
    with loading_guard(what):
        captioner.try_out()
    return captioner


class TransformersCaptioner:
    """Asks the prompts of its set in turn, until there are `candidates` captions of an image.

    A prompt is skipped where there is nothing to put into it, such as no alt text. The same image
    and context give the same candidates in every batch, up to rounding: see `CandidateSampler`.
    """

    name = "transformers"
    uses_images = True

    def __init__(self, policy: TransformersPolicy, loaded: Loaded) -> None:
        self._policy = policy
        self._loaded = loaded
        self._family = _family(loaded)
        self._prompts = _prompts(policy, loaded.model.config.model_type)
        self._chain = Chain(self._prompts, policy.sampling.candidates, loaded.marks.broken)
        self._pad = _pad_colour(loaded, self._family)
        self.model = policy.model
        self.revision = policy.revision or weights_digest(loaded.model)
        self.uses_context = self._chain.uses_context
        self.spent: list[Spend] = []
        self.second_price = policy.second_price
        parts = (
            self.model,
            self.revision,
            str(loaded.model.dtype),
            str(self._pad),
            policy.sampling.model_dump_json(),
            *_ways(loaded),
            *(f"{prompt.id} {prompt.digest}" for prompt in self._prompts),
        )
        self.cache_id: str | None = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    def try_out(self) -> None:
        """Begin a caption with each prompt. Raises Fatal where the model cannot caption."""
        try_family(self._loaded, self._chain.samples(), _family)

    def prepare(self, image: Image.Image) -> Shown:
        """Resize, cut into tiles and normalise an image, once for all of its prompts."""
        given = _squared(image, self._pad) if self._pad else image
        return Shown(image_digest(image), self._family.prepare(given))

    def caption(
        self, images: Sequence[Image.Image | Shown], contexts: Sequence[CaptionContext]
    ) -> list[tuple[Caption, ...]]:
        """`candidates` captions for each image, prepared or not. Raises OutOfMemory."""
        import torch

        if not contexts:
            return []
        read, written = [0] * len(contexts), [0] * len(contexts)
        shown = [image if isinstance(image, Shown) else self.prepare(image) for image in images]
        found: list[list[Caption]] = [[] for _ in images]
        for link in self._chain.links:
            # A model has one way to draw for all rows of a call.
            calls = defaultdict[SamplingPolicy, list[tuple[CandidateRow, Question]]](list)
            for at, (image, context) in enumerate(zip(shown, contexts, strict=True)):
                for question in self._chain.questions(link, context, found[at]):
                    sampling = question.prompt.drawn(self._policy.sampling)
                    seed = row_seed(sampling.seed, image.digest, question.text, question.number)
                    row = CandidateRow(at, question.text, seed)
                    calls[sampling].append((row, question))
            for sampling, asked in calls.items():
                with memory_guard(), torch.inference_mode():
                    answers = self._drawing(sampling).generate(shown, [row for row, _ in asked])
                for (row, question), answer in zip(asked, answers, strict=True):
                    read[row.image] += len(self._loaded.tokenizer(row.prompt).input_ids)
                    written[row.image] += answer.tokens
                    found[row.image].append(
                        question.answered(
                            answer.text,
                            self.model,
                            self.revision,
                            truncated=answer.cut,
                            doubts=answer.doubts,
                        )
                    )
        self.spent = [Spend(*each) for each in zip(read, written, strict=True)]
        return [tuple(captions) for captions in found]

    def _drawing(self, sampling: SamplingPolicy) -> Family:
        if sampling == self._policy.sampling:
            return self._family
        return _family(replace(self._loaded, sampling=sampling))


def _family(loaded: Loaded) -> Family:
    return FAMILIES.get(loaded.model.config.model_type, Chat)(loaded)


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
    given = policy.prompts
    if given == "auto":
        own = "demo" if policy.model == "demo" else model_type
        given = own if own in PROMPT_SETS else "chat"
    return prompt_set(given, "recaption.transformers.prompts", "auto")


def _pad_colour(loaded: Loaded, family: Family) -> tuple[int, int, int] | None:
    """The colour to pad images with to a square; None for models that take any ratio.

    Models that see one square would squash or crop other images. Their mean colour is used, which
    normalisation turns into 0.
    """
    image_processor = getattr(loaded.processor, "image_processor", None)
    size = getattr(image_processor, "size", None) or {}  # None where a model takes any size
    square = size.get("height") is not None and size.get("height") == size.get("width")
    crop = getattr(image_processor, "crop_size", None)
    mean = getattr(image_processor, "image_mean", None)
    if not (square or crop) or not mean:
        return None
    try:
        if _form(family, (1200, 400)) != _form(family, (1200, 1200)):
            return None  # it cuts images into tiles, or has another way to keep their ratio
    except Exception:  # noqa: BLE001 - the trial tells what is wrong with the model
        return None
    red, green, blue = (round(channel * 255) for channel in mean)
    return red, green, blue


def _form(family: Family, size: tuple[int, int]) -> dict[str, Any]:
    """What the processor makes of an image of this size, besides the pixels themselves."""
    from PIL import Image

    found = family.processed(Image.new("RGB", size))
    return {
        name: tuple(value.shape) if value.is_floating_point() else value.tolist()
        for name, value in found.items()
    }


def _squared(image: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    from PIL import Image

    side = max(image.size)
    square = Image.new("RGB", (side, side), colour)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square
