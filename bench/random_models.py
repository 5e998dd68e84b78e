"""Writes models of real size with random weights, as folders in the usual form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
import transformers
from open_clip.model import CLIP
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch.utils.flop_counter import FlopCounterMode

_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<image>")


def blip2_config(*, tiny: bool) -> Any:
    """BLIP-2 OPT-2.7B. ViT-g/14 and Q-Former are the library's defaults."""
    text = {"model_type": "opt", "vocab_size": 50304, "hidden_size": 2560, "ffn_dim": 10240}
    config: dict[str, Any] = {
        "text_config": text | {"num_hidden_layers": 32, "num_attention_heads": 32}
    }
    if tiny:
        size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
        tower = size | {"intermediate_size": 64}
        config = {
            "vision_config": tower | {"image_size": 28},
            "qformer_config": tower,
            "text_config": text | size | {"vocab_size": 512, "ffn_dim": 64},
        }
    return transformers.Blip2Config(**config, image_token_index=_SPECIAL.index("<image>"))


def vit_config(*, tiny: bool) -> dict[str, Any]:
    """open_clip's configuration of ViT-L/14 with 224 pixels and its text tower."""
    config: dict[str, Any] = open_clip.get_model_config("ViT-L-14")
    if tiny:
        config["vision_cfg"] |= {"image_size": 28, "layers": 1, "width": 64}
        config["text_cfg"] |= {"layers": 1, "width": 32, "heads": 2}
    return config


def vit_flops(*, tiny: bool) -> int:
    """FLOPs of one image in the image tower, counted without computing."""
    config = vit_config(tiny=tiny)
    side = config["vision_cfg"]["image_size"]
    with torch.device("meta"), FlopCounterMode(display=False) as counted:
        CLIP(**config).visual(torch.empty(1, 3, side, side))
    return int(counted.get_total_flops())


def write_blip2(folder: str, device: torch.device, *, tiny: bool) -> None:
    """Write model and processor. Each word is one token, like most words in OPT's vocabulary."""
    library: Any = transformers  # its processors are untyped
    config = blip2_config(tiny=tiny)
    with device:
        model = library.AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    size, side = config.text_config.vocab_size, config.vision_config.image_size
    words = (*_SPECIAL, *(f"word{number}" for number in range(len(_SPECIAL), size)))
    core = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, "<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.add_special_tokens(list(_SPECIAL))
    core.post_processor = processors.TemplateProcessing("</s> $A", special_tokens=[("</s>", 2)])
    marks = {"bos_token": "</s>", "eos_token": "</s>", "pad_token": "<pad>"}
    tokenizer = library.PreTrainedTokenizerFast(tokenizer_object=core, **marks)
    images = library.BlipImageProcessor(size={"height": side, "width": side})
    processor = library.Blip2Processor(images, tokenizer, config.num_query_tokens)
    processor.save_pretrained(folder)


def write_vit(folder: str, device: torch.device, *, tiny: bool) -> None:
    """Write an open_clip folder. open_clip's own tokenizer needs no file."""
    config = vit_config(tiny=tiny)
    with device:
        save_file(CLIP(**config).state_dict(), str(Path(folder, "open_clip_model.safetensors")))
    Path(folder, "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
