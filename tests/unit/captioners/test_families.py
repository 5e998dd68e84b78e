"""Tiny random models of every family, loaded as real ones are: texts equal the library's own."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from kaption.connections.errors import Fatal
from kaption.schemas import CaptionKind
from kaption.workers.captioners._chat import Chat, conversation
from kaption.workers.captioners._family import CandidateRow, Drawn, Family, Loaded, Shown
from kaption.workers.captioners.captioner import CaptionContext
from kaption.workers.captioners.prompts import PROMPT_SETS, Prompt
from kaption.workers.captioners.transformers import FAMILIES, TransformersCaptioner, build
from kaption.workers.policy.recaption import RecaptionPolicy, SamplingPolicy, TransformersPolicy
from support.odd_models import florence2, instruct_blip, pali_gemma, pixtral
from support.tiny_chats import gemma3, internvl, llava_next, llava_onevision, qwen_vl
from support.tiny_models import tiny_blip, tiny_blip2, tiny_idefics3, tiny_llava

pytestmark = pytest.mark.slow

MAKERS: dict[str, Callable[[Path], Path]] = {
    "blip": tiny_blip,
    "blip-2-opt": tiny_blip2,
    "blip-2-t5": lambda folder: tiny_blip2(folder, decoder_only=False),
    "llava": tiny_llava,
    "idefics3": tiny_idefics3,
    "smolvlm": lambda folder: tiny_idefics3(folder, smol=True),
    "pixtral": pixtral,
    "gemma3": gemma3,
    "internvl": internvl,
    "llava_next": llava_next,
    "llava_onevision": llava_onevision,
    "qwen2_vl": lambda folder: qwen_vl(folder, "2"),
    "qwen2_5_vl": qwen_vl,
    "qwen3_vl": lambda folder: qwen_vl(folder, "3"),
    "paligemma": pali_gemma,
    "florence2": florence2,
    "instructblip": instruct_blip,
}
TOWERS = ("vision_model", "model.vision_model", "model.vision_tower", "model.visual")
GREEDY = SamplingPolicy(temperature=1e-6, repetition_penalty=1.0, top_p=1.0, max_new_tokens=10)
PROMPTS = ["describe the red star", "what you see", "texture of the big blue circle on snow"]


@pytest.fixture(scope="module", params=MAKERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MAKERS[request.param](tmp_path_factory.mktemp(request.param))


def captioner(folder: Path, sampling: SamplingPolicy) -> Any:
    given = TransformersPolicy(model=str(folder), device="cpu", sampling=sampling)
    return build(RecaptionPolicy(transformers=given))


def image_bytes(seed: int, size: tuple[int, int] = (48, 48)) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(noise).resize(size)


def shown(family: Family, images: Sequence[Image.Image]) -> list[Shown]:
    return [Shown("", family.prepare(image)) for image in images]


def alone(loaded: Loaded, shown: Image.Image, prompt: str) -> Drawn:
    """One image and one prompt through the processor and `generate` of the library."""
    kind = loaded.model.config.model_type
    options = {}
    if kind == "paligemma":
        prompt = f"<image>{prompt}"
    elif kind not in ("blip", "blip-2", "instructblip", "florence2"):
        prompt = conversation(loaded.processor, prompt)
        options = {"add_special_tokens": False} if prompt.startswith("<start>") else {}
    inputs = loaded.processor(images=[shown], text=[prompt], return_tensors="pt", **options)
    length = inputs["input_ids"].shape[1] - (kind == "blip")  # BLIP drops the prompt's end token
    with torch.inference_mode():
        out = loaded.model.generate(**inputs, max_new_tokens=10, do_sample=False)[0]
    if loaded.model.config.get_text_config().is_encoder_decoder or kind == "florence2":
        length = 1
    return loaded.decode(out[None, length:])[0]


def test_every_family_is_tested_here() -> None:
    assert {name.removesuffix("-opt").removesuffix("-t5") for name in MAKERS} == {
        *FAMILIES,
        "pixtral",  # it calls itself a llava
    }


def test_many_rows_at_once_say_what_each_says_alone(folder: Path) -> None:
    made = captioner(folder, GREEDY)
    family = made._family
    # Where images become tiles or patches, a wide one has another number of tokens than a high one.
    sizes = [(48, 48), (120, 40), (30, 90)] if made._pad is None else [(48, 48)] * 3
    images = [image_bytes(seed, size) for seed, size in enumerate(sizes)]
    rows = [CandidateRow(at, prompt, seed=at) for at in (2, 0, 1) for prompt in PROMPTS]

    with torch.inference_mode():
        together = family.generate(shown(family, images), rows)

    told = [replace(each, doubts=()) for each in together]
    assert told == [alone(family._loaded, images[row.image], row.prompt) for row in rows]
    assert len(set(together)) > len(PROMPTS)  # images matter, not only prompts


def test_each_image_is_encoded_once_for_all_of_its_candidates(folder: Path) -> None:
    made = captioner(folder, SamplingPolicy(candidates=1, max_new_tokens=4))
    towers = {name for name, _ in made._loaded.model.named_modules()} & {*TOWERS}
    seen: list[tuple[int, ...]] = []
    made._loaded.model.get_submodule(max(towers)).register_forward_hook(
        lambda _, args, kwargs, out: seen.append(
            tuple(
                (
                    kwargs.get("pixel_values", kwargs.get("hidden_states")) if not args else args[0]
                ).shape
            )
        ),
        with_kwargs=True,
    )

    for candidates in (1, 5):
        made._policy = made._policy.model_copy(
            update={"sampling": SamplingPolicy(candidates=candidates, max_new_tokens=4)}
        )
        made.caption([image_bytes(0), image_bytes(1)], [CaptionContext("red star")] * 2)

    one, five = seen  # one call for all images of the batch
    assert one == five


def test_images_that_threads_prepared_have_the_same_captions(folder: Path) -> None:
    made = captioner(folder, SamplingPolicy(candidates=4, max_new_tokens=6))
    images = [image_bytes(seed, (30 + 9 * seed, 80 - 7 * seed)) for seed in range(8)]
    contexts = [CaptionContext("a red star, on grass")] * 8

    with ThreadPoolExecutor(8) as pool:
        prepared = list(pool.map(made.prepare, images))

    assert made.caption(prepared, contexts) == made.caption(images, contexts)
    assert all(each.nbytes > 0 for each in prepared)


def test_candidates_do_not_depend_on_the_batch(folder: Path) -> None:
    made = captioner(folder, SamplingPolicy(candidates=4, max_new_tokens=8))
    images = [image_bytes(seed, (72, 48)) for seed in range(3)]
    contexts = [CaptionContext(text) for text in ("a red star", "", "the blue circle, on grass")]

    together = made.caption(images, contexts)

    assert together[2] == made.caption(images[2:], contexts[2:])[0]
    assert [len(captions) for captions in together] == [4, 4, 4]
    # Models without training write many marks, which captions lose
    assert len({caption.text for captions in together for caption in captions}) > 2


def test_fused_prompts_need_an_alt_text(folder: Path) -> None:
    made = captioner(folder, SamplingPolicy(candidates=5, max_new_tokens=4))

    with_text, without = made.caption(
        [image_bytes(0), image_bytes(1)], [CaptionContext("a red star"), CaptionContext(" ")]
    )

    kinds = {caption.kind for caption in with_text}
    assert (CaptionKind.FUSED in kinds) == made.uses_context
    assert {caption.kind for caption in without} == {CaptionKind.VLM}
    assert all(caption.revision == made.revision for caption in with_text)


def test_a_wide_image_is_shown_whole(tmp_path: Path) -> None:
    # The processor would crop the ends; there the two images differ.
    made = captioner(tiny_llava(tmp_path), SamplingPolicy(candidates=1, max_new_tokens=12))
    wide = image_bytes(0, (96, 32))
    other = wide.copy()
    other.paste((255, 0, 0), (0, 0, 30, 32))
    seen: list[torch.Tensor] = []
    tower = made._family._loaded.model.model.vision_tower
    tower.register_forward_hook(
        lambda _, args, kwargs, out: seen.append((args or list(kwargs.values()))[0]),
        with_kwargs=True,
    )

    made.caption([wide, other], [CaptionContext(""), CaptionContext("")])

    assert not torch.equal(seen[0][0], seen[0][1])


@pytest.mark.parametrize(
    "make", [internvl, llava_next, llava_onevision, tiny_idefics3, qwen_vl, pixtral]
)
def test_an_image_reaches_a_processor_that_makes_tiles_as_it_is(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    made = captioner(make(tmp_path), GREEDY)
    loaded, wide = made._loaded, image_bytes(0, (192, 64))

    prepared = made.prepare(wide).inputs

    text = conversation(loaded.processor, "describe")
    own = loaded.processor(images=[[wide]], text=[text], return_tensors="pt")
    squared = loaded.processor(
        images=[[image_bytes(0, (192, 192))]], text=[text], return_tensors="pt"
    )
    assert torch.equal(prepared["pixel_values"], own["pixel_values"])
    assert prepared["pixel_values"].shape != squared["pixel_values"].shape


@pytest.mark.parametrize("make", [tiny_llava, tiny_idefics3])
def test_a_template_with_the_prompt_first_is_refused(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    family = captioner(make(tmp_path), GREEDY)._family
    family._loaded.processor.chat_template = "{{ messages[0].content[1].text }} <image>"
    rows = [CandidateRow(0, prompt, seed=0) for prompt in PROMPTS]

    with torch.inference_mode(), pytest.raises(Fatal, match="template with the image first"):
        family.generate(shown(family, [image_bytes(0)]), rows)


def test_any_other_model_goes_through_its_processor(tmp_path: Path) -> None:
    loaded = captioner(tiny_llava(tmp_path), GREEDY)._family._loaded
    images = [image_bytes(seed) for seed in range(2)]
    rows = [CandidateRow(at, prompt, seed=at) for at in range(2) for prompt in PROMPTS]

    with torch.inference_mode():
        drawn = Chat(loaded).generate(shown(Chat(loaded), images), rows)

    texts = [replace(each, doubts=()) for each in drawn]
    assert texts == [alone(loaded, images[row.image], row.prompt) for row in rows]


def test_the_cache_id_changes_with_each_thing_that_the_answer_depends_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = captioner(tiny_blip(tmp_path), SamplingPolicy())
    loaded, first = made._family._loaded, PROMPT_SETS["blip"][0]

    def cache_id(**given: object) -> str | None:
        policy = made._policy.model_copy(update={"revision": "1"} | given)
        return TransformersCaptioner(policy, loaded).cache_id

    def asking(prompt: Prompt) -> str | None:
        monkeypatch.setitem(PROMPT_SETS, "blip", (prompt, *PROMPT_SETS["blip"][1:]))
        return cache_id()

    assert cache_id() == cache_id()
    ids = [
        cache_id(),
        cache_id(model="another"),
        cache_id(revision="2"),
        cache_id(sampling=SamplingPolicy(temperature=0.9)),
        cache_id(sampling=SamplingPolicy(seed=1)),
        cache_id(prompts="chat"),
        asking(replace(first, id="blip/another")),
        asking(replace(first, template="another")),
    ]
    # Precision and padding are those of what was loaded
    loaded.model.half()
    ids.append(cache_id())
    loaded.processor.image_processor.image_mean = [0.0, 0.0, 0.0]
    ids.append(cache_id())
    assert len(set(ids)) == len(ids)


def test_a_model_without_a_given_revision_is_known_by_its_weights(tmp_path: Path) -> None:
    folder = tiny_blip(tmp_path)
    first, again = captioner(folder, SamplingPolicy()), captioner(folder, SamplingPolicy())

    again._family._loaded.model.text_decoder.cls.predictions.bias.data.add_(1)
    other = TransformersCaptioner(again._policy, again._family._loaded)

    assert first.cache_id == again.cache_id
    assert first.cache_id != other.cache_id


def test_a_model_or_prompt_set_that_is_not_there_says_what_to_give(tmp_path: Path) -> None:
    nowhere = TransformersPolicy(model=str(tmp_path / "nowhere"), device="cpu")
    unknown = TransformersPolicy(model=str(tiny_blip(tmp_path)), device="cpu", prompts="poetry")

    with pytest.raises(Fatal, match=r"cannot be loaded: .+ Give `demo`"):
        build(RecaptionPolicy(transformers=nowhere))
    with pytest.raises(Fatal, match="no prompt set 'poetry'"):
        build(RecaptionPolicy(transformers=unknown))
