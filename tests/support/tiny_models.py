"""Tiny random models in the folders that real ones come in."""

import json
from pathlib import Path
from typing import Any

import torch

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
    from transformers import PreTrainedTokenizerFast

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
    untyped(PreTrainedTokenizerFast)(
        tokenizer_object=core,
        pad_token="<pad>",
        bos_token="<start>",
        eos_token="<end>",
        sep_token="<end>",
        unk_token="<unk>",
    ).save_pretrained(folder)
    return len(vocabulary)


def tiny_clip(folder: Path, *, context: int = 16, recommended_score: float | None = 0.0) -> Path:
    """Write an open_clip folder: 32 pixels, one layer."""
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    torch.manual_seed(1)
    folder.mkdir(parents=True, exist_ok=True)
    size = word_tokenizer(folder)
    config = {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 32,
            "patch_size": 8,
            "width": 32,
            "layers": 1,
            "head_width": 16,
        },
        "text_cfg": {
            "context_length": context,
            "vocab_size": size,
            "hf_tokenizer_name": "local",
            "width": 32,
            "heads": 2,
            "layers": 1,
            "pool_type": "eos",
            "eos_id": 2,
            "pad_id": 0,
        },
    }
    save_file(CLIP(**config).state_dict(), str(folder / "open_clip_model.safetensors"))
    preprocess = {"mean": [0.5, 0.4, 0.3], "std": [0.25, 0.25, 0.25], "size": 32}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
    )
    if recommended_score is not None:
        (folder / "kaption.json").write_text(json.dumps({"recommended_score": recommended_score}))
    return folder


def tiny_transformers_clip(folder: Path, *, context: int = 16) -> Path:
    """Write a CLIP as transformers keeps it: 32 pixels, one layer."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    torch.manual_seed(3)
    size = word_tokenizer(folder, end_last=True)
    shared = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    text = {
        "vocab_size": size,
        "max_position_embeddings": context,
        "num_attention_heads": 2,
        "eos_token_id": size - 1,
    }
    vision = {"image_size": 32, "patch_size": 8, "num_attention_heads": 2}
    config = CLIPConfig(text_config=shared | text, vision_config=shared | vision, projection_dim=16)
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}).save_pretrained(folder)
    return folder


def tiny_blip(folder: Path) -> Path:
    """Write a BLIP captioner."""
    from transformers import (
        AutoTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    torch.manual_seed(2)
    size = word_tokenizer(folder)
    shared = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    text = {
        "vocab_size": size,
        "encoder_hidden_size": 32,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "sep_token_id": 2,
        "pad_token_id": 0,
        "max_position_embeddings": 64,
        "num_hidden_layers": 2,
    }
    vision = {"image_size": 32, "patch_size": 8, "num_hidden_layers": 1, "initializer_range": 0.02}
    config = BlipConfig(text_config=shared | text, vision_config=shared | vision)
    model = louder(BlipForConditionalGeneration(config))
    for layer in model.text_decoder.bert.encoder.layer:
        layer.crossattention.output.dense.weight.data.mul_(10)  # look at the image
    model.save_pretrained(folder)
    images = BlipImageProcessor(size={"height": 32, "width": 32})
    untyped(BlipProcessor)(images, AutoTokenizer.from_pretrained(folder)).save_pretrained(folder)
    return folder


def tiny_blip2(folder: Path, *, decoder_only: bool = True) -> Path:
    """Write a BLIP-2 with OPT, or with T5."""
    from transformers import (
        AutoTokenizer,
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2Processor,
        BlipImageProcessor,
        OPTConfig,
        T5Config,
    )

    torch.manual_seed(3)
    size = word_tokenizer(folder, add_start=decoder_only, add_end=not decoder_only)
    shared = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    opt = OPTConfig(
        vocab_size=size,
        hidden_size=32,
        ffn_dim=64,
        word_embed_proj_dim=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    t5 = T5Config(
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
    config = Blip2Config(
        vision_config=shared
        | {"image_size": 32, "patch_size": 8, "num_hidden_layers": 1, "initializer_range": 0.02},
        qformer_config=shared
        | {"vocab_size": size, "num_hidden_layers": 1, "encoder_hidden_size": 32},
        text_config=opt if decoder_only else t5,
        num_query_tokens=4,
        image_token_index=SPECIAL.index("<image>"),
    )
    louder(Blip2ForConditionalGeneration(config)).save_pretrained(folder)
    untyped(Blip2Processor)(
        BlipImageProcessor(size={"height": 32, "width": 32}),
        AutoTokenizer.from_pretrained(folder),
        num_query_tokens=4,
    ).save_pretrained(folder)
    return folder


def tiny_llava(folder: Path) -> Path:
    """Write a LLaVA with a CLIP tower and a LLaMA."""
    from transformers import (
        AutoTokenizer,
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    torch.manual_seed(4)
    size = word_tokenizer(folder, add_end=False)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_attention_heads=2,
            num_hidden_layers=2,
            image_size=32,
            patch_size=8,
        ),
        text_config=LlamaConfig(
            vocab_size=size,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        ),
        image_token_index=SPECIAL.index("<image>"),
    )
    louder(LlavaForConditionalGeneration(config)).save_pretrained(folder)
    untyped(LlavaProcessor)(
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        AutoTokenizer.from_pretrained(folder),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
    ).save_pretrained(folder)
    return folder


def tiny_idefics3(folder: Path, *, smol: bool = False) -> Path:
    """Write an Idefics3, or a SmolVLM: images become tiles of 32 pixels and one of the whole."""
    import transformers

    library: Any = transformers
    name = "SmolVLM" if smol else "Idefics3"
    torch.manual_seed(5)
    word_tokenizer(folder, add_end=False)
    tokenizer = library.AutoTokenizer.from_pretrained(folder)
    marks = ["<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>", *marks]})
    images = getattr(library, f"{name}ImageProcessor")(
        size={"longest_edge": 64}, max_image_size={"longest_edge": 32}
    )
    parts = [library.SmolVLMVideoProcessor()] if smol else []
    processor = getattr(library, f"{name}Processor")(images, tokenizer, *parts, image_seq_len=4)
    shared = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    text = library.LlamaConfig(
        vocab_size=len(tokenizer),
        num_hidden_layers=2,
        num_key_value_heads=2,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        **shared,
    )
    config = getattr(library, f"{name}Config")(
        vision_config=shared | {"image_size": 32, "patch_size": 8, "num_hidden_layers": 1},
        text_config=text,
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=0,
    )
    louder(getattr(library, f"{name}ForConditionalGeneration")(config)).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def untyped(processor: Any) -> Any:
    """Processors have no types; a typed test calls them through here."""
    return processor


def louder(model: Any) -> Any:
    """Larger weights: with the usual small ones every image gives the same tokens."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim >= 2:
                weight.mul_(8)
    return model
