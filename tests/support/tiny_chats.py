"""Tiny random chat models whose candidates share an encoded image: one maker for each family."""

from pathlib import Path
from typing import Any

import torch

from support.tiny_models import (
    IDS,
    LIBRARY,
    SHARED,
    SPECIAL,
    SQUARE,
    VISION,
    saved,
    tokenizer_in,
    word_tokenizer,
)

TEMPLATE = (
    "{{% for m in messages %}}<start>USER: {{% for c in m.content %}}{{% if c.type == 'image' %}}"
    "{mark}{{% else %}} {{{{ c.text }}}}{{% endif %}}{{% endfor %}} ASSISTANT:{{% endfor %}}"
)
"""It begins with the first token, as real templates do."""
TEXT = SHARED | IDS | {"num_hidden_layers": 2, "num_key_value_heads": 1}
CLIP = VISION | {"num_hidden_layers": 2, "model_type": "clip_vision_model"}
SIGLIP = VISION | {"num_hidden_layers": 2, "model_type": "siglip_vision_model"}
PINPOINTS = [[32, 64], [64, 32], [64, 64], [32, 96], [96, 32]]


def gemma3(folder: Path) -> Path:
    """Gemma 3: the tokens of an image see each other, and some layers see a window only."""
    torch.manual_seed(6)
    word_tokenizer(folder, add_end=False)
    marks = {"boi_token": "<boi>", "eoi_token": "<eoi>", "image_token": "<soft>"}
    tokenizer = tokenizer_in(folder, extra_special_tokens=marks)
    ids = {noun: tokenizer.convert_tokens_to_ids(mark) for noun, mark in marks.items()}
    config = LIBRARY.Gemma3Config(
        text_config=TEXT
        | {
            "vocab_size": len(tokenizer),
            "head_dim": 16,
            "layer_types": ["sliding_attention", "full_attention"],
            "sliding_window": 64,
        },
        vision_config=SIGLIP | {"vision_use_head": False},
        mm_tokens_per_image=4,
        boi_token_index=ids["boi_token"],
        eoi_token_index=ids["eoi_token"],
        image_token_index=ids["image_token"],
    )
    processor = LIBRARY.Gemma3Processor(
        LIBRARY.Gemma3ImageProcessor(size=SQUARE),
        tokenizer,
        chat_template=TEMPLATE.format(mark="<boi>"),
        image_seq_length=4,
    )
    model = LIBRARY.Gemma3ForConditionalGeneration(config)
    model.model.multi_modal_projector.mm_input_projection_weight.data.normal_(std=0.1)
    return saved(folder, model, processor)


def internvl(folder: Path) -> Path:
    """InternVL: its processor cuts images into tiles, its image processor alone does not."""
    torch.manual_seed(7)
    word_tokenizer(folder, add_end=False)
    nouns = ("start_image", "end_image", "context_image", "video")
    marks = {f"{noun}_token": f"<{noun}>" for noun in nouns}
    tokenizer = tokenizer_in(folder, extra_special_tokens=marks)
    config = LIBRARY.InternVLConfig(
        text_config=TEXT | {"model_type": "qwen2", "vocab_size": len(tokenizer)},
        vision_config=VISION | {"image_size": [32, 32], "patch_size": [8, 8]},
        image_token_id=tokenizer.convert_tokens_to_ids("<context_image>"),
        image_seq_length=4,
    )
    processor = LIBRARY.InternVLProcessor(
        LIBRARY.GotOcr2ImageProcessor(size=SQUARE),
        tokenizer,
        LIBRARY.InternVLVideoProcessor(size=SQUARE),
        image_seq_length=4,
        chat_template=TEMPLATE.format(mark="<context_image>\n"),
    )
    return saved(folder, LIBRARY.InternVLForConditionalGeneration(config), processor)


def llava_next(folder: Path) -> Path:
    """LLaVA-NeXT: an image becomes tiles by its ratio, and rows of patches end in a token."""
    torch.manual_seed(8)
    size = word_tokenizer(folder, add_end=False)
    config = LIBRARY.LlavaNextConfig(
        vision_config=CLIP,
        text_config=TEXT | {"model_type": "llama", "vocab_size": size},
        image_token_index=SPECIAL.index("<image>"),
        image_grid_pinpoints=PINPOINTS,
    )
    processor = LIBRARY.LlavaNextProcessor(
        LIBRARY.LlavaNextImageProcessor(
            size={"shortest_edge": 32}, crop_size=SQUARE, image_grid_pinpoints=PINPOINTS
        ),
        tokenizer_in(folder),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE.format(mark="<image>\n"),
    )
    return saved(folder, LIBRARY.LlavaNextForConditionalGeneration(config), processor)


def llava_onevision(folder: Path) -> Path:
    """LLaVA-OneVision: tiles, whose features are made smaller where there are many."""
    torch.manual_seed(9)
    word_tokenizer(folder, add_end=False)
    tokenizer = tokenizer_in(folder, extra_special_tokens={"video_token": "<video>"})
    config = LIBRARY.LlavaOnevisionConfig(
        vision_config=SIGLIP | {"vision_use_head": False},
        text_config=TEXT | {"model_type": "qwen2", "vocab_size": len(tokenizer)},
        image_token_index=SPECIAL.index("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=PINPOINTS,
        vision_aspect_ratio="anyres_max_9",
    )
    processor = LIBRARY.LlavaOnevisionProcessor(
        LIBRARY.LlavaOnevisionImageProcessor(size=SQUARE, image_grid_pinpoints=PINPOINTS),
        tokenizer,
        LIBRARY.LlavaOnevisionVideoProcessor(size=SQUARE),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=TEMPLATE.format(mark="<image>\n"),
    )
    return saved(folder, LIBRARY.LlavaOnevisionForConditionalGeneration(config), processor)


def qwen_vl(folder: Path, version: str = "2_5", width: int = 32) -> Path:
    """Qwen2-VL, Qwen2.5-VL or Qwen3-VL: as many patches as an image's size needs."""
    torch.manual_seed(10)
    shared = {"hidden_size": width, "intermediate_size": 64, "num_attention_heads": width // 16}
    wide = shared | {"depth": 2, "num_heads": 2, "out_hidden_size": width}
    word_tokenizer(folder, add_end=False, add_start=False)
    tokenizer = tokenizer_in(folder)
    names = ("vision_start", "vision_end", "image_pad", "video_pad")
    marks = [f"<|{name}|>" for name in names]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    ids = dict(zip(names, tokenizer.convert_tokens_to_ids(marks), strict=True))
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
    tower: dict[str, dict[str, Any]] = {
        "2": {"depth": 2, "embed_dim": 32, "hidden_size": 32, "mlp_ratio": 2, "num_heads": 2},
        "2_5": wide | {"window_size": 32, "fullatt_block_indexes": [1]},
        "3": wide | {"num_position_embeddings": 64, "deepstack_visual_indexes": [0]},
    }
    name = {"2": "Qwen2VL", "2_5": "Qwen2_5_VL", "3": "Qwen3VL"}[version]
    config = getattr(LIBRARY, f"{name}Config")(
        text_config=TEXT
        | shared
        | {"vocab_size": len(tokenizer), "head_dim": 16, "num_key_value_heads": width // 32}
        | {"rope_parameters": rope | {"mrope_interleaved": True} if version == "3" else rope},
        vision_config=tower[version] | {"patch_size": 8},
        **{f"{noun}_token_id": ids[f"{noun}_pad"] for noun in ("image", "video")},
        **{f"vision_{end}_token_id": ids[f"vision_{end}"] for end in ("start", "end")},
    )
    processors = "Qwen3VL" if version == "3" else "Qwen2VL"
    processor = getattr(LIBRARY, f"{name}Processor")(
        image_processor=LIBRARY.Qwen2VLImageProcessor(
            patch_size=8, size={"shortest_edge": 32 * 32, "longest_edge": 64 * 64}
        ),
        tokenizer=tokenizer,
        video_processor=getattr(LIBRARY, f"{processors}VideoProcessor")(patch_size=8),
        chat_template=TEMPLATE.format(mark="<|vision_start|><|image_pad|><|vision_end|>"),
    )
    return saved(folder, getattr(LIBRARY, f"{name}ForConditionalGeneration")(config), processor)
