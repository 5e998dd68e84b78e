"""The demo CLIP's architecture and preprocessing, in the form of open_clip_config.json."""

from __future__ import annotations

from typing import Any

from tools.demo_models.photographs import PAD, PATCH, SIDE
from tools.demo_models.tokens import CONTEXT, END_ID, PAD_ID, VOCABULARY

WIDTH, LAYERS, EMBED = 128, 4, 128
MODEL_CFG: dict[str, Any] = {
    "embed_dim": EMBED,
    "vision_cfg": {
        "image_size": SIDE,
        "patch_size": PATCH,
        "width": WIDTH,
        "layers": LAYERS,
        "head_width": 32,
        "no_ln_pre": True,  # BLIP's vision tower has none, and its weights are copied from here
    },
    "text_cfg": {
        "context_length": CONTEXT,
        "vocab_size": VOCABULARY,
        "hf_tokenizer_name": "local",  # any name makes open_clip read the folder's own tokenizer
        "width": WIDTH,
        "heads": 4,
        "layers": LAYERS,
        "pool_type": "eos",
        "eos_id": END_ID,
        "pad_id": PAD_ID,
    },
}
PREPROCESS_CFG: dict[str, Any] = {
    "size": [SIDE, SIDE],
    "mode": "RGB",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bicubic",
    "resize_mode": "longest",
    "fill_color": PAD,
}
