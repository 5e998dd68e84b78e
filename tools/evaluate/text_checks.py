"""What the checks of texts refuse, by kind of text: each finds what another one misses."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from math import exp

import numpy as np
import torch

from kaption.schemas import Caption, CaptionKind
from kaption.workers.checks.perplexity import PerplexityCheck
from kaption.workers.models.causal import CausalModel, LoadedCausal
from kaption.workers.plugins import load_checks
from kaption.workers.policy.select import PerplexityPolicy, SelectPolicy
from kaption.workers.stages.select.fluency import shuffle
from kaption.workers.text.language import detected
from tools.evaluate import perplexity
from tools.evaluate.figures import Figure, share
from tools.evaluate.held_out import Kept

_OTHER_LANGUAGES = (
    "Ein rotes Haus steht auf einer grünen Wiese",
    "Un grand chien noir dort devant la porte",
    "Una mujer lee un libro en el parque",
    "Красный автомобиль стоит на узкой улице",
    "木桌上放着一只红色的花瓶",
    "แมวดำตัวใหญ่นอนหลับอยู่บนโซฟาสีแดง",
    "لوحة حمراء على جدار أبيض كبير",
    "Een kleine hond rent over het strand",
)


def measure(kept: Sequence[Kept], steps: int) -> list[Figure]:
    """The share of each kind that perplexity, repetition and whole refuse, and all three together.

    Perplexity has a model that was trained on sentences about scenes for at most `steps`, and the
    bar that 2 % of one half of the accepted alt texts lie above. It holds for English, as it would
    on this stream.
    """
    reader = perplexity.trained(min(steps, perplexity.STEPS))
    loaded = LoadedCausal(reader.model, reader.tokenizer, torch.device("cpu"))
    model = CausalModel(PerplexityPolicy(model="tiny"), loaded)
    alt_texts = [one.pair.clean_text for one in kept if not one.recaptioned]
    losses = model.losses(alt_texts[::2])
    most = exp(float(np.quantile(losses, 1 - PerplexityPolicy().false_rejection)))
    improbable = PerplexityCheck(model, most)
    others = load_checks(SelectPolicy(checks=("repetition", "whole")))
    figures = []
    for kind, texts in _kinds(kept, alt_texts[1::2]).items():
        captions = [Caption(text=text, kind=CaptionKind.VLM) for text in texts]
        found = {
            "perplexity": [
                detected(each.text) == "en" and not improbable.check(each).passed
                for each in captions
            ]
        }
        found |= {c.name: [not c.check(each).passed for each in captions] for c in others}
        found["any of them"] = [any(each) for each in zip(*found.values(), strict=True)]
        figures += [share(f"{kind}: {name}", hits) for name, hits in found.items()]
    return figures


def _kinds(kept: Sequence[Kept], alt_texts: Sequence[str]) -> Mapping[str, Sequence[str]]:
    rng = random.Random(5)  # noqa: S311 (no secret)
    good = [one.pair.captions[0].text for one in kept if one.recaptioned]
    told = [text.split() for text in good]
    return {
        "good captions": good,
        "accepted alt texts": alt_texts,
        "word salad": [salad for text in good if (salad := shuffle(text))],
        "a sentence again and again": [", ".join([text] * 4) for text in good],
        "a word again": [" ".join([*words[:3], words[2], words[2], *words[3:]]) for words in told],
        "cut before the last noun": [" ".join(words[: rng.choice((1, 4))]) for words in told],
        "other languages": _OTHER_LANGUAGES,
    }
