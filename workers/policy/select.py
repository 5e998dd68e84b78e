"""The settings of the select stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from kaption.workers.policy import Fraction, Policy, PositiveFloat, PositiveInt


class PerplexityPolicy(Policy):
    """The check `perplexity`: how well a causal language model foretells a text."""

    model: str = ""
    """The model: a folder, or a name on the Hugging Face hub. Unset, perplexity is not measured.
    Take one that was trained on the languages of the captions; a small one will do."""
    revision: str | None = None
    """The commit, branch or tag on the hub; unset, the newest one."""
    device: str = "auto"
    """Device of torch, such as cuda:1 or cpu; auto takes a GPU if there is one."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Number format of the model; auto takes bf16 on GPUs that have it, fp16 on others and fp32 on
    CPUs."""
    most: PositiveFloat | None = None
    """Perplexity above which a caption of a model is refused. Unset, it sets itself for each
    language, from the stream's good alt texts. It differs from model to model."""
    false_rejection: Annotated[float, Field(gt=0, lt=1)] = 0.02
    """Share of the good alt texts that lie above the perplexity that sets itself."""
    warm_up_texts: PositiveInt = 1000
    """Good alt texts of a language from which it is measured. Before, nothing is refused."""
    batch_texts: PositiveInt = 128
    """Texts that the model reads at once, of all that a batch of select holds. Lower it when the
    device's memory is full: the model's vocabulary times the tokens counts."""


class SelectPolicy(Policy):
    """The select stage: keeps the best captions."""

    min_score: float | None = None
    """Cosine below which a caption is not kept; a pair without one is rejected. Unset, it sets
    itself: see clip.thresholds. Raise it for fewer, better pairs."""
    margin: Annotated[float, Field(ge=0)] = 0.05
    """Specificity by which a candidate must exceed the original text to be placed before it, and a
    text that a copy brings later the published one. Raise it to keep more of what people wrote."""
    keep: PositiveInt = 2
    """Most captions kept for a pair: the best one, then those of other aspects."""
    bank_images: Annotated[int, Field(ge=0)] = 4096
    """Accepted images that Redis keeps to compare captions with, two bytes for each dimension of an
    embedding: 4 MB for 4,096 images of 512. A caption that fits them as well as its own image is
    generic. 0 ranks captions by the cosine alone."""
    nearest_images: PositiveInt = 10
    """How many of these images count: those that the caption fits best. The paper of CSLS takes
    10."""
    worn_cost: Annotated[float, Field(ge=0)] = 1.0
    """Specificity that a caption of a model loses by worn phrases, times the mean share of the
    stream's last 10,000 kept captions that hold its phrases; at most `margin`. Raise it for more
    varied captions; 0 counts no phrases."""
    min_words: PositiveInt = 3
    """Least words of a kept caption. A text of people or rules may have fewer where no longer one
    is kept: see short_specificity."""
    short_specificity: float = 0.0
    """Specificity above which such a short text is kept. A text that says nothing fits other images
    as well as its own. 2 keeps none, and so does bank_images = 0."""
    max_words: PositiveInt = 256
    """Most words of a kept caption. Lower it to what the model that you train reads."""
    checks: tuple[str, ...] = ("all",)
    """Checks that a caption must pass: ``all`` stands for every check of this package, perplexity
    only where it has a model; your own are written ``package.module:Name``."""
    perplexity: PerplexityPolicy = PerplexityPolicy()
    languages: tuple[str, ...] = ()
    """Languages of kept captions, as BCP 47 primary tags such as en; ``alt_text`` stands for the
    language that was detected for the pair's alt text. Empty accepts all. A caption whose language
    is unsure is accepted. The detector takes up to 600 MB of memory."""
    settings: Mapping[str, Mapping[str, Any]] = {}
    """Settings of your own checks, by the names above; each check reads its own."""
    audit_fraction: Fraction = 0.05
    """Share of the clean pairs that also go to pairs.audit, for people to judge. More of rare
    sources, languages, kinds and scores go there, at most twice this share in all."""
    batch_records: PositiveInt = 64
    """Pairs that the model scores at once. Raise it until the GPU is busy or its memory full."""
