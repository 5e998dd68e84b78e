"""A caption model that cannot caption is refused when it is loaded, in one line that says why."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from kaption.connections.errors import Fatal
from kaption.workers.captioners.captioner import CaptionContext
from kaption.workers.captioners.transformers import TransformersCaptioner, build
from kaption.workers.policy.recaption import RecaptionPolicy, SamplingPolicy, TransformersPolicy
from support.odd_models import (
    change_weights,
    florence2,
    gemma4,
    git,
    instruct_blip,
    llava_with,
    minicpm_v,
    minicpm_v_4_7,
    pali_gemma,
    pixtral,
    with_code,
)
from support.tiny_models import (
    LIBRARY,
    WORDS,
    tiny_blip,
    tiny_blip2,
    tiny_idefics3,
    tiny_llava,
    tokenizer_in,
)

pytestmark = pytest.mark.slow

LIST_TEMPLATE = (
    "{% for m in messages %}USER: {% for c in m.content %}"
    "{% if c.type == 'image' %}<image>{% else %} {{ c.text }}{% endif %}"
    "{% endfor %} ASSISTANT: {% endfor %}"
)
PLAIN_TEMPLATE = "{% for m in messages %}USER: {{ m['content'] + ' ' }} ASSISTANT: {% endfor %}"


def load(folder: Path, **changed: Any) -> TransformersCaptioner:
    given = TransformersPolicy(
        model=str(folder), device="cpu", sampling=SamplingPolicy(max_new_tokens=4), **changed
    )
    return build(RecaptionPolicy(transformers=given))


def captions(made: TransformersCaptioner, *alt_texts: str) -> list[list[str]]:
    images = [Image.new("RGB", (50, 40), (200, 20, 20 * at)) for at in range(len(alt_texts))]
    found = made.caption(images, [CaptionContext(text) for text in alt_texts])
    return [[caption.text for caption in each] for each in found]


def without(name: str) -> Callable[[dict[str, torch.Tensor]], None]:
    def change(weights: dict[str, torch.Tensor]) -> None:
        del weights[next(key for key in weights if name in key)]

    return change


def narrower(weights: dict[str, torch.Tensor]) -> None:
    key = next(key for key, weight in weights.items() if weight.ndim == 2)
    weights[key] = weights[key][:, :-1].clone()


def broken(weights: dict[str, torch.Tensor]) -> None:
    for key, weight in weights.items():
        weights[key] = weight * float("nan")


@pytest.mark.parametrize(
    ("make", "change", "why"),
    [
        (tiny_llava, without("vision"), "1 of its weights are missing from its files"),
        (tiny_blip, without("text_decoder"), "weights are missing"),
        (tiny_blip2, without("qformer"), "weights are missing"),
        (tiny_idefics3, without("layers.0"), "weights are missing"),
        (tiny_blip, narrower, "of another shape in its files"),
        (tiny_blip, broken, "no finite numbers"),
        (tiny_llava, broken, "no finite numbers"),
    ],
)
def test_weights_that_are_not_those_of_the_model_are_refused(
    make: Callable[[Path], Path], change: Any, why: str, tmp_path: Path
) -> None:
    folder = make(tmp_path)
    change_weights(folder, change)

    with pytest.raises(Fatal, match=why) as raised:
        load(folder)

    assert "\n" not in str(raised.value)


def grown(*words: str, folder: str = ".") -> Callable[[Path], None]:
    """Adds words to a tokenizer alone."""

    def change(model: Path) -> None:
        tokenizer = tokenizer_in(model / folder)
        tokenizer.add_tokens(list(words))
        tokenizer.save_pretrained(model / folder)

    return change


def far(path: Path) -> None:
    """Gives the last word a number that is far from the others, so that the count says nothing."""
    written = json.loads((path / "tokenizer.json").read_text())
    numbers = written["model"]["vocab"]
    numbers[WORDS[-1]] += 7
    (path / "tokenizer.json").write_text(json.dumps(written))


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (tiny_blip, grown("cat")),
        (tiny_blip, far),
        (tiny_blip2, grown(*(f"word{n}" for n in range(900)))),
        (tiny_llava, grown("dog", "猫")),
        (tiny_llava, far),
        (tiny_idefics3, grown("<b", "c>")),
        (florence2, grown("horse")),
        (instruct_blip, grown("horse", folder="qformer_tokenizer")),
    ],
)
def test_a_tokenizer_with_tokens_that_the_model_has_no_rows_for_is_refused(
    make: Callable[[Path], Path], change: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = make(tmp_path)
    change(folder)

    with pytest.raises(Fatal, match=r"tokens up to number \d+, and .+ Fetch tokenizer") as raised:
        load(folder)

    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("rows", [2, 64])
@pytest.mark.parametrize("make", [tiny_blip2, tiny_llava, tiny_idefics3])
def test_rows_for_added_tokens_and_spare_ones_are_sound(
    make: Callable[[Path], Path], rows: int, tmp_path: Path
) -> None:
    folder = make(tmp_path)
    model = LIBRARY.AutoModelForImageTextToText.from_pretrained(folder)
    model.resize_token_embeddings(model.get_input_embeddings().num_embeddings + rows)
    model.save_pretrained(folder)
    grown("cat", "dog")(folder)

    found = captions(load(folder), "a red cat", "dog")

    assert [len(each) for each in found] == [5, 5]


def test_marks_that_no_text_becomes_need_no_rows(tmp_path: Path) -> None:
    folder = tiny_llava(tmp_path)
    grown("<loc001>", "<|video|>", "[extra]")(folder)

    found = captions(load(folder), "a <loc001> star", "<|video|> [extra]")

    assert [len(each) for each in found] == [5, 5]


def cut(name: str, share: float) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * share)])

    return change


def without_files(*names: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return change


def not_fetched(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text("version https://git-lfs.github.com/spec/v1\nsize 9\n")

    return change


def of_pickles(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Path("/")))


def configured(**given: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        config["text_config"] |= given
        (folder / "config.json").write_text(json.dumps(config))

    return change


@pytest.mark.parametrize(
    "change",
    [
        *(cut("model.safetensors", share) for share in (0, 0.0002, 0.5, 0.999)),
        *(cut(name, 0.5) for name in ("config.json", "tokenizer.json", "processor_config.json")),
        *(not_fetched(name) for name in ("model.safetensors", "tokenizer.json")),
        without_files("model.safetensors"),
        without_files("processor_config.json"),
        without_files("tokenizer.json", "tokenizer_config.json"),
        of_pickles,
        configured(hidden_size="large"),
        configured(num_attention_heads=3),
        configured(num_hidden_layers=9),
    ],
)
@pytest.mark.parametrize("make", [tiny_blip, tiny_llava])
def test_a_folder_that_is_damaged_is_told_in_one_line(
    make: Callable[[Path], Path], change: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = make(tmp_path)
    change(folder)

    with pytest.raises(Fatal, match=r"^(the captioner|models of) .+ cannot be") as raised:
        load(folder)

    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("make", [git])
def test_a_family_without_a_known_form_of_prompt_is_refused(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    with pytest.raises(Fatal, match=r"no chat template .+ take a model of another family"):
        load(make(tmp_path))


@pytest.mark.parametrize(
    "make", [pali_gemma, florence2, instruct_blip, gemma4, minicpm_v, minicpm_v_4_7]
)
def test_families_with_prompts_of_their_own_caption(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    made = load(make(tmp_path))

    assert [len(each) for each in captions(made, "a red star", "")] == [5, 5]


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{% for c in m.content %}{{ c.text }}{% endfor %}{% endfor %}",
        "{% for m in messages %}<image><image> {{ m.content[1].text }}{% endfor %}",
        "<image> describe what you see",
        "{{ messages | tojson }}",
        "{{ raise_exception('no images here') }}",
    ],
    ids=["no mark", "two marks", "no question", "a dump", "an error"],
)
def test_a_template_without_one_image_mark_and_the_question_is_refused(
    template: str, tmp_path: Path
) -> None:
    with pytest.raises(Fatal, match="exactly one image mark and the question"):
        load(llava_with(tmp_path, template))


def test_a_template_for_plain_text_gets_plain_text(tmp_path: Path) -> None:
    plain = load(llava_with(tmp_path / "plain", PLAIN_TEMPLATE))
    parts = load(llava_with(tmp_path / "parts", LIST_TEMPLATE))

    assert captions(plain, "a red star") == captions(parts, "a red star")


def test_a_template_that_can_leave_out_thoughts_is_told_to(tmp_path: Path) -> None:
    thinking = LIST_TEMPLATE + "{% if enable_thinking is not false %}{{ 1 / 0 }}{% endif %}"

    assert captions(load(llava_with(tmp_path, thinking)), "a red star")


@pytest.mark.parametrize(
    "text",
    [
        "a red <image> star",
        "<image>",
        "<IMAGE> <image>",
        "a star <end> nothing else",
        "<pad> <start>",
        "<end<end>>",
        "a \uff1cimage\uff1e star",
        "a <im\u200bage> star",
    ],
)
@pytest.mark.parametrize("make", [tiny_llava, tiny_idefics3, pixtral, minicpm_v])
def test_special_tokens_in_an_alt_text_are_plain_text(
    make: Callable[[Path], Path], text: str, tmp_path: Path
) -> None:
    made = load(make(tmp_path))

    assert [len(each) for each in captions(made, text, "a red star")] == [5, 5]
    tokenizer = made._loaded.tokenizer
    ids = tokenizer(made._loaded.marks.broken(text), add_special_tokens=False).input_ids
    assert not {*tokenizer.all_special_ids} & {*ids} - {tokenizer.unk_token_id}


@pytest.mark.parametrize(
    ("model_type", "loader"),
    [
        ("own_model", "AutoModelForImageTextToText"),
        ("minicpmv", "AutoModel"),  # MiniCPM-V before 4.6
    ],
)
def test_code_of_a_repository_is_neither_run_nor_asked_about(
    model_type: str, loader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    folder = with_code(tmp_path / "model", ran, model_type, loader)
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("asked on the console"))

    with pytest.raises(Fatal, match="runs no code from a model's repository"):
        load(folder)

    assert not ran.exists()


@pytest.mark.parametrize("place", ["to", "generate"])
def test_a_model_too_large_for_its_device_is_told_in_one_line(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.\nMore lines")

    folder = tiny_llava(tmp_path)
    if place == "to":
        monkeypatch.setattr(torch.nn.Module, "to", full)
    else:
        monkeypatch.setattr("kaption.workers.captioners._shared.SharedPrefix.generate", full)

    with pytest.raises(Fatal, match=r"does not fit into the memory .+ smaller model") as raised:
        load(folder)

    assert "\n" not in str(raised.value)


def test_an_image_processor_without_a_size_pads_nothing(tmp_path: Path) -> None:
    made = load(tiny_idefics3(tmp_path))
    made._loaded.processor.image_processor.size = None

    assert TransformersCaptioner(made._policy, made._loaded)._pad is None


def test_rules_of_the_checkpoints_generation_config_do_not_leak(tmp_path: Path) -> None:
    plain = load(tiny_llava(tmp_path / "plain"))
    folder = tiny_llava(tmp_path / "ruled")
    (folder / "generation_config.json").write_text(
        '{"num_beams": 4, "no_repeat_ngram_size": 1, "min_length": 90, "do_sample": true,'
        ' "encoder_repetition_penalty": 3.0, "bos_token_id": 1, "eos_token_id": 2,'
        ' "pad_token_id": 0, "exponential_decay_length_penalty": [1, 9.0]}'
    )

    assert captions(load(folder), "a red star") == captions(plain, "a red star")


def test_the_cache_id_knows_template_processor_and_generation_config(tmp_path: Path) -> None:
    made = load(llava_with(tmp_path / "model", LIST_TEMPLATE))
    loaded = made._loaded

    def cache_id() -> str | None:
        return TransformersCaptioner(made._policy, loaded).cache_id

    ids = [cache_id()]
    assert cache_id() == ids[0]
    loaded.processor.chat_template = LIST_TEMPLATE.replace("USER", "HUMAN")
    ids.append(cache_id())
    loaded.processor.image_processor.do_normalize = False
    ids.append(cache_id())
    loaded.model.generation_config.suppress_tokens = [7]
    ids.append(cache_id())
    loaded.model.config.text_config.hidden_act = "gelu"
    ids.append(cache_id())
    assert len(set(ids)) == len(ids)


def test_a_caption_that_the_limit_cut_is_marked(tmp_path: Path) -> None:
    made = load(tiny_llava(tmp_path))
    ends = made._loaded.tokenizer.eos_token_id

    cut, whole = made._loaded.decode(torch.tensor([[5, 6, 7], [5, 6, ends]]))

    assert (cut.cut, whole.cut) == (True, False)
    found = made.caption([Image.new("RGB", (40, 40))], [CaptionContext("")])[0]
    assert any(caption.truncated for caption in found)
