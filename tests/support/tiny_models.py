"""Tiny random models in the folders that real ones come in."""

import json
import math
from pathlib import Path
from typing import Any

import torch
import transformers

LIBRARY: Any = transformers  # its classes have no types
SHARED = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
VISION = SHARED | {"image_size": 32, "patch_size": 8, "num_hidden_layers": 1}
IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
SQUARE = {"height": 32, "width": 32}
OPT = IDS | {"hidden_size": 32, "ffn_dim": 64, "word_embed_proj_dim": 32, "num_attention_heads": 2}
OPEN_CLIP_VISION = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16}
_TEXT = (
    "a the of on in with red blue green circle square star striped dotted plain glossy big small "
    "sky grass snow table photo picture describe only what you see appearance texture context "
    ": , . ; ? ! USER ASSISTANT Question Answer caption text"
)
WORDS = _TEXT.split()
SPECIAL = ["<pad>", "<start>", "<end>", "<unk>", "<image>"]


def word_tokenizer(
    folder: Path, *, add_end: bool = True, add_start: bool = True, end_last: bool = False
) -> int:
    """Write a tokenizer with one token per known word; returns the vocabulary's size.

    `end_last` gives the end token the highest number, as CLIP has it.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokens = SPECIAL + WORDS
    if end_last:
        tokens.remove("<end>")
        tokens.append("<end>")
    vocabulary = {word: index for index, word in enumerate(tokens)}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.add_special_tokens(SPECIAL)
    single = " ".join(["<start>"] * add_start + ["$A"] + ["<end>"] * add_end)
    core.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[(mark, vocabulary[mark]) for mark in ("<start>", "<end>")]
    )
    LIBRARY.PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        bos_token="<start>",
        eos_token="<end>",
        sep_token="<end>",
        unk_token="<unk>",
    ).save_pretrained(folder)
    return len(vocabulary)


def saved(folder: Path, model: Any, processor: Any) -> Path:
    """Write a model with larger weights: with the usual small ones every image gives the same."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim >= 2:
                weight.mul_(8)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def tiny_clip(
    folder: Path,
    *,
    context: int = 16,
    recommended_score: float | None = 0.0,
    logit_bias: float | None = None,
    logit_scale: float = 1 / 0.07,
) -> Path:
    """Write an open_clip folder: 32 pixels, one layer; with a `logit_bias`, as SigLIP."""
    from open_clip.model import CLIP

    torch.manual_seed(1)
    folder.mkdir(parents=True, exist_ok=True)
    text = {
        "context_length": context,
        "vocab_size": word_tokenizer(folder),
        "hf_tokenizer_name": "local",
        "width": 32,
        "heads": 2,
        "layers": 1,
        "pool_type": "eos",
        "eos_id": 2,
        "pad_id": 0,
    }
    config: dict[str, Any] = {
        "embed_dim": 16,
        "vision_cfg": OPEN_CLIP_VISION,
        "text_cfg": text,
        "init_logit_scale": math.log(logit_scale),
    }
    if logit_bias is not None:
        config["init_logit_bias"] = logit_bias
    return save_open_clip(folder, config, CLIP(**config), recommended_score)


def save_open_clip(
    folder: Path, config: dict[str, Any], model: Any, recommended_score: float | None = 0.0
) -> Path:
    """Write weights, configuration and recommended score."""
    from safetensors.torch import save_file

    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    save_file(weights, str(folder / "open_clip_model.safetensors"))
    preprocess = {"mean": [0.5, 0.4, 0.3], "std": [0.25, 0.25, 0.25], "size": 32}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
    )
    if recommended_score is not None:
        (folder / "kaption.json").write_text(json.dumps({"recommended_score": recommended_score}))
    return folder


def tiny_transformers_clip(folder: Path, *, context: int = 16) -> Path:
    """Write a CLIP as transformers keeps it: 32 pixels, one layer."""
    torch.manual_seed(3)
    size = word_tokenizer(folder, end_last=True)
    text = {"vocab_size": size, "max_position_embeddings": context, "eos_token_id": size - 1}
    text |= SHARED | {"num_hidden_layers": 1}
    config = LIBRARY.CLIPConfig(text_config=text, vision_config=VISION, projection_dim=16)
    LIBRARY.CLIPModel(config).save_pretrained(folder)
    LIBRARY.CLIPImageProcessor(size={"shortest_edge": 32}).save_pretrained(folder)
    return folder


def tiny_blip(folder: Path) -> Path:
    """Write a BLIP captioner."""
    torch.manual_seed(2)
    text = {
        "vocab_size": word_tokenizer(folder),
        "encoder_hidden_size": 32,
        "sep_token_id": 2,
        "max_position_embeddings": 64,
        "num_hidden_layers": 2,
    }
    config = LIBRARY.BlipConfig(
        text_config=SHARED | IDS | text, vision_config=VISION | {"initializer_range": 0.02}
    )
    model = LIBRARY.BlipForConditionalGeneration(config)
    for layer in model.text_decoder.bert.encoder.layer:
        layer.crossattention.output.dense.weight.data.mul_(10)  # look at the image
    images = LIBRARY.BlipImageProcessor(size=SQUARE)
    return saved(folder, model, LIBRARY.BlipProcessor(images, tokenizer_in(folder)))


def tiny_blip2(folder: Path, *, decoder_only: bool = True) -> Path:
    """Write a BLIP-2 with OPT, or with T5."""
    torch.manual_seed(3)
    size = word_tokenizer(folder, add_start=decoder_only, add_end=not decoder_only)
    opt = LIBRARY.OPTConfig(
        vocab_size=size, num_hidden_layers=2, max_position_embeddings=256, **OPT
    )
    t5 = LIBRARY.T5Config(
        vocab_size=size,
        d_model=32,
        d_kv=16,
        d_ff=64,
        num_layers=1,
        num_heads=2,
        eos_token_id=2,
        pad_token_id=0,
    )
    t5.decoder_start_token_id = 0
    config = LIBRARY.Blip2Config(
        vision_config=VISION | {"initializer_range": 0.02},
        qformer_config=SHARED
        | {"vocab_size": size, "num_hidden_layers": 1, "encoder_hidden_size": 32},
        text_config=opt if decoder_only else t5,
        num_query_tokens=4,
        image_token_index=SPECIAL.index("<image>"),
    )
    images = LIBRARY.BlipImageProcessor(size=SQUARE)
    processor = LIBRARY.Blip2Processor(images, tokenizer_in(folder), num_query_tokens=4)
    return saved(folder, LIBRARY.Blip2ForConditionalGeneration(config), processor)


def tiny_llava(folder: Path) -> Path:
    """Write a LLaVA with a CLIP tower and a LLaMA."""
    torch.manual_seed(4)
    size = word_tokenizer(folder, add_end=False)
    config = LIBRARY.LlavaConfig(
        vision_config=LIBRARY.CLIPVisionConfig(**VISION | {"num_hidden_layers": 2}),
        text_config=LIBRARY.LlamaConfig(
            vocab_size=size, num_hidden_layers=2, num_key_value_heads=2, **SHARED, **IDS
        ),
        image_token_index=SPECIAL.index("<image>"),
    )
    processor = LIBRARY.LlavaProcessor(
        LIBRARY.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SQUARE),
        tokenizer_in(folder),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
    )
    return saved(folder, LIBRARY.LlavaForConditionalGeneration(config), processor)


def tiny_idefics3(folder: Path, *, smol: bool = False) -> Path:
    """Write an Idefics3, or a SmolVLM: images become tiles of 32 pixels and one of the whole."""
    name = "SmolVLM" if smol else "Idefics3"
    torch.manual_seed(5)
    word_tokenizer(folder, add_end=False)
    tokenizer = tokenizer_in(folder)
    marks = ["<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>", *marks]})
    images = getattr(LIBRARY, f"{name}ImageProcessor")(
        size={"longest_edge": 64}, max_image_size={"longest_edge": 32}
    )
    parts = [LIBRARY.SmolVLMVideoProcessor()] if smol else []
    processor = getattr(LIBRARY, f"{name}Processor")(images, tokenizer, *parts, image_seq_len=4)
    text = LIBRARY.LlamaConfig(
        vocab_size=len(tokenizer), num_hidden_layers=2, num_key_value_heads=2, **SHARED, **IDS
    )
    config = getattr(LIBRARY, f"{name}Config")(
        vision_config=VISION,
        text_config=text,
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=0,
    )
    return saved(folder, getattr(LIBRARY, f"{name}ForConditionalGeneration")(config), processor)


def tokenizer_in(folder: Path, **options: Any) -> Any:
    """The tokenizer that `word_tokenizer` wrote there."""
    return LIBRARY.AutoTokenizer.from_pretrained(folder, **options)
