"""Tiny causal language models: random ones, and one trained on sentences about scenes."""

from pathlib import Path
from typing import Any

import torch
import transformers

from tools.demo_models.tokens import CONTEXT, train_tokenizer
from tools.evaluate.perplexity import SEED, trained

LIBRARY: Any = transformers  # its classes have no types


def trained_gpt2(folder: Path, steps: int = 80) -> Path:
    """GPT-2 of two layers; 80 steps take about 15 seconds of a core."""
    reader = trained(steps)
    reader.model.save_pretrained(folder)
    reader.tokenizer.save_pretrained(folder)
    return folder


def random_gpt2(folder: Path, kind: str = "gpt2", vocabulary: int = 0) -> Path:
    """A model with random weights and a tokenizer, or a BERT that is no causal model."""
    torch.manual_seed(1)
    tokenizer = train_tokenizer(SEED, texts=200)
    size = vocabulary or len(tokenizer)
    if kind == "bert":
        config = LIBRARY.BertConfig(
            vocab_size=size,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            initializer_range=0.5,
        )
        model = LIBRARY.BertLMHeadModel(config)
    else:
        config = LIBRARY.GPT2Config(
            vocab_size=size, n_positions=CONTEXT, n_embd=32, n_layer=2, n_head=2
        )
        model = LIBRARY.GPT2LMHeadModel(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
