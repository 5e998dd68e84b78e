"""Tiny models that cannot be used as they are, or need more than the usual ones.

Each maker writes a folder, as `support.tiny_models` does.
"""

import json
from pathlib import Path
from typing import Any

import torch
import transformers

from support.tiny_models import SPECIAL, louder, tiny_blip, tiny_llava, untyped, word_tokenizer

LIBRARY: Any = transformers
SHARED = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
VISION = SHARED | {"image_size": 32, "patch_size": 8, "num_hidden_layers": 1}
IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def git(folder: Path) -> Path:
    """GIT: there is no chat template, and none fits."""
    size = word_tokenizer(folder)
    config = LIBRARY.GitConfig(
        vision_config=VISION,
        vocab_size=size,
        num_hidden_layers=1,
        max_position_embeddings=64,
        **SHARED,
        **IDS,
    )
    LIBRARY.GitForCausalLM(config).save_pretrained(folder)
    images = LIBRARY.CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    tokenizer = LIBRARY.AutoTokenizer.from_pretrained(folder)
    LIBRARY.GitProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def instruct_blip(folder: Path) -> Path:
    """InstructBLIP: its Q-Former reads the prompt, too."""
    size = word_tokenizer(folder, add_end=False)
    opt = LIBRARY.OPTConfig(
        vocab_size=size,
        hidden_size=32,
        ffn_dim=64,
        word_embed_proj_dim=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=128,
        **IDS,
    )
    config = LIBRARY.InstructBlipConfig(
        vision_config=VISION,
        qformer_config=SHARED
        | {"vocab_size": size, "num_hidden_layers": 1, "encoder_hidden_size": 32},
        text_config=opt,
        num_query_tokens=4,
        image_token_index=SPECIAL.index("<image>"),
    )
    LIBRARY.InstructBlipForConditionalGeneration(config).save_pretrained(folder)
    tokenizer = LIBRARY.AutoTokenizer.from_pretrained(folder)
    images = LIBRARY.BlipImageProcessor(size={"height": 32, "width": 32})
    LIBRARY.InstructBlipProcessor(images, tokenizer, tokenizer, num_query_tokens=4).save_pretrained(
        folder
    )
    return folder


def pali_gemma(folder: Path) -> Path:
    """PaliGemma: no chat template, and prompts that name a task."""
    size = word_tokenizer(folder, add_end=False)
    text = SHARED | IDS | {"model_type": "gemma", "vocab_size": size + 1030, "head_dim": 16}
    config = LIBRARY.PaliGemmaConfig(
        vision_config=VISION | {"model_type": "siglip_vision_model", "vision_use_head": False},
        text_config=text | {"num_hidden_layers": 1, "num_key_value_heads": 1},
        image_token_index=SPECIAL.index("<image>"),
        projection_dim=32,
        hidden_size=32,
    )
    louder(LIBRARY.PaliGemmaForConditionalGeneration(config)).save_pretrained(folder)
    images = LIBRARY.SiglipImageProcessor(size={"height": 32, "width": 32})
    images.image_seq_length = 16
    tokenizer = LIBRARY.AutoTokenizer.from_pretrained(folder)
    LIBRARY.PaliGemmaProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def pixtral(folder: Path) -> Path:
    """Pixtral: it calls itself a LLaVA, and an image has as many tokens as its size needs."""
    word_tokenizer(folder, add_end=False)
    tokenizer = LIBRARY.AutoTokenizer.from_pretrained(folder)
    marks = ["[IMG]", "[IMG_BREAK]", "[IMG_END]", "[INST]", "[/INST]"]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    text = LIBRARY.LlamaConfig(
        vocab_size=len(tokenizer), num_hidden_layers=1, num_key_value_heads=2, **SHARED, **IDS
    )
    config = LIBRARY.LlavaConfig(
        vision_config=LIBRARY.PixtralVisionConfig(**VISION | {"image_size": 64}),
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    louder(LIBRARY.LlavaForConditionalGeneration(config)).save_pretrained(folder)
    images = LIBRARY.PixtralImageProcessor(
        size={"longest_edge": 64}, patch_size={"height": 8, "width": 8}
    )
    untyped(LIBRARY.PixtralProcessor)(
        images, tokenizer, patch_size=8, spatial_merge_size=1
    ).save_pretrained(folder)
    return folder


def florence2(folder: Path) -> Path:
    """Florence-2: its prompts are names of tasks, without a chat template."""
    size = word_tokenizer(folder)
    tokenizer = LIBRARY.AutoTokenizer.from_pretrained(
        folder, extra_special_tokens={"image_token": "<image>"}
    )
    text = {
        "model_type": "bart",
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "vocab_size": size,
        "decoder_start_token_id": 2,
    }
    vision = {
        "depths": [1] * 4,
        "embed_dim": [16, 16, 16, 32],
        "num_heads": [1, 1, 1, 2],
        "num_groups": [1, 1, 1, 2],
        "projection_dim": 32,
    }
    config = LIBRARY.Florence2Config(
        text_config=text | IDS, vision_config=vision, image_token_id=SPECIAL.index("<image>")
    )
    LIBRARY.Florence2ForConditionalGeneration(config).save_pretrained(folder)
    images = LIBRARY.CLIPImageProcessor(size={"height": 64, "width": 64})
    LIBRARY.Florence2Processor(images, tokenizer, num_additional_image_tokens=0).save_pretrained(
        folder
    )
    return folder


def gemma4(folder: Path) -> Path:
    """Gemma 4: its image processor takes any size and names none."""
    word_tokenizer(folder, add_start=False, add_end=False)
    marks = {
        "image_token": "<|image|>",
        "boi_token": "<|image>",
        "eoi_token": "<image|>",
        "audio_token": "<|audio|>",
        "boa_token": "<|audio>",
        "eoa_token": "<audio|>",
        "video_token": "<|video|>",
    }
    tokenizer = LIBRARY.AutoTokenizer.from_pretrained(folder, extra_special_tokens=marks)
    number = {noun: tokenizer.convert_tokens_to_ids(mark) for noun, mark in marks.items()}
    text = {
        "vocab_size": len(tokenizer) + 64,
        "vocab_size_per_layer_input": len(tokenizer) + 64,
        "hidden_size_per_layer_input": 16,
        "num_hidden_layers": 2,
        "layer_types": ["sliding_attention", "full_attention"],
        "num_key_value_heads": 1,
        "head_dim": 16,
        "global_head_dim": 16,
        "num_kv_shared_layers": 0,
    }
    vision = {
        "num_hidden_layers": 1,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "patch_size": 8,
        "pooling_kernel_size": 2,
        "position_embedding_size": 64,
        "default_output_length": 16,
    }
    config = LIBRARY.Gemma4Config(
        text_config=SHARED | IDS | text,
        vision_config=SHARED | vision,
        audio_config=None,
        image_token_id=number["image_token"],
        boi_token_id=number["boi_token"],
        eoi_token_id=number["eoi_token"],
        audio_token_id=number["audio_token"],
        video_token_id=number["video_token"],
    )
    louder(LIBRARY.Gemma4ForConditionalGeneration(config)).save_pretrained(folder)
    LIBRARY.Gemma4Processor(
        feature_extractor=LIBRARY.Gemma4AudioFeatureExtractor(),
        image_processor=LIBRARY.Gemma4ImageProcessor(
            patch_size=8, max_soft_tokens=70, pooling_kernel_size=2
        ),
        tokenizer=tokenizer,
        video_processor=LIBRARY.Gemma4VideoProcessor(),
        chat_template="{% for m in messages %}<start>{% for c in m.content %}"
        "{% if c.type == 'image' %}<|image|>{% else %}{{ c.text }}{% endif %}"
        "{% endfor %}{% endfor %}",
    ).save_pretrained(folder)
    return folder


def with_code(folder: Path, ran: Path) -> Path:
    """A repository with code of its own, which would write the file `ran`."""
    tiny_blip(folder)
    for name, classes in (
        ("config.json", {"AutoConfig": "code.Config", "AutoModelForImageTextToText": "code.Model"}),
        ("processor_config.json", {"AutoProcessor": "code.Processor"}),
        ("tokenizer_config.json", {"AutoProcessor": "code.Processor"}),
    ):
        path = folder / name
        settings = json.loads(path.read_text()) | {"auto_map": classes}
        settings.pop("processor_class", None)
        if name == "config.json":
            settings["model_type"] = "own_model"
        path.write_text(json.dumps(settings))
    (folder / "code.py").write_text(f"open({str(ran)!r}, 'w')")
    return folder


def change_weights(folder: Path, change: Any, name: str = "model.safetensors") -> None:
    """Let `change` alter the dict of a folder's weights."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / name)
    change(weights)
    save_file(weights, str(folder / name), metadata={"format": "pt"})


def llava_with(folder: Path, template: str) -> Path:
    """A LLaVA with a chat template."""
    tiny_llava(folder)
    (folder / "chat_template.jinja").write_text(template)
    return folder


def coca(folder: Path) -> Path:
    """CoCa, a scorer that also has a text decoder."""
    from open_clip.coca_model import CoCa

    size = word_tokenizer(folder)
    vision = {
        "image_size": 32,
        "patch_size": 8,
        "width": 32,
        "layers": 1,
        "head_width": 16,
        "attentional_pool": True,
        "attn_pooler_queries": 4,
        "attn_pooler_heads": 2,
        "output_tokens": True,
    }
    shared = {"context_length": 16, "vocab_size": size, "width": 32, "heads": 2, "layers": 1}
    text = {"hf_tokenizer_name": "local", "embed_cls": True, "output_tokens": True, "pad_id": 0}
    config = {
        "embed_dim": 16,
        "vision_cfg": vision,
        "text_cfg": shared | text,
        "multimodal_cfg": shared,
    }
    torch.manual_seed(1)
    return _open_clip(folder, config, CoCa(**config))


def transformers_text(folder: Path) -> Path:
    """A scorer whose text tower is a RoBERTa of transformers."""
    from open_clip.model import CustomTextCLIP

    size = word_tokenizer(folder)
    roberta = LIBRARY.RobertaConfig(
        vocab_size=size, num_hidden_layers=1, max_position_embeddings=40, pad_token_id=0, **SHARED
    )
    roberta.save_pretrained(folder / "text")
    text = {
        "hf_model_name": str(folder / "text"),
        "hf_tokenizer_name": "local",
        "hf_proj_type": "mlp",
        "hf_pooler_type": "mean_pooler",
        "context_length": 16,
    }
    vision = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16}
    config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    torch.manual_seed(1)
    bare = config | {"text_cfg": text | {"hf_model_pretrained": False}}
    return _open_clip(folder, config, CustomTextCLIP(**bare))


def _open_clip(folder: Path, config: dict[str, Any], model: torch.nn.Module) -> Path:
    from safetensors.torch import save_file

    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    save_file(weights, str(folder / "open_clip_model.safetensors"))
    preprocess = {"mean": [0.5] * 3, "std": [0.25] * 3, "size": 32}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config | {"custom_text": True}, "preprocess_cfg": preprocess})
    )
    (folder / "kaption.json").write_text(json.dumps({"recommended_score": 0.0}))
    return folder
