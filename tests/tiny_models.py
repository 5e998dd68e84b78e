"""Tiny random models in the folders that real ones come in."""

import json
from pathlib import Path

import torch

_TEXT = (
    "a the of on in with red blue green circle square star striped dotted plain glossy big small "
    "sky grass snow table photo picture describe only what you see appearance texture context "
    ": , . ; ? ! USER ASSISTANT Question Answer caption text"
)
WORDS = _TEXT.split()
SPECIAL = ["<pad>", "<start>", "<end>", "<unk>", "<image>"]


def word_tokenizer(folder: Path, *, add_end: bool = True, add_start: bool = True) -> int:
    """Write a tokenizer with one token per known word; returns the vocabulary's size."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate(SPECIAL + WORDS)}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.add_special_tokens(SPECIAL)
    single = " ".join(["<start>"] * add_start + ["$A"] + ["<end>"] * add_end)
    core.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[("<start>", 1), ("<end>", 2)]
    )
    PreTrainedTokenizerFast(
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
