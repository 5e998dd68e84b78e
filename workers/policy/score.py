"""The settings of the score stage and of the scorer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from kaption.workers.policy import Policy, PositiveInt


class ThresholdPolicy(Policy):
    """How thresholds set themselves. `score.good_score` and `select.min_score` fix them instead."""

    false_rejection: Annotated[float, Field(gt=0, lt=1)] = 0.02
    """Most right texts that are refused, as a share. Raise it for fewer, better pairs."""
    wrong_accepted: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Most wrong texts that are accepted, as a share. It goes before false_rejection: with a scorer
    that cannot keep both, more right texts are refused. 1 switches this limit off."""
    warm_up_texts: PositiveInt = 1000
    """Alt texts of a language and source from which its threshold is measured. Before, the
    threshold of the language holds, then that of all texts, then the scorer's recommended score."""


class ClipPolicy(Policy):
    """The scorer: an open_clip model, or your own."""

    scorer: str = "open_clip"
    """Name of the scorer: ``open_clip``, or your own as ``package.module:Name``. The fields about
    a model, device and precision are those of ``open_clip``."""
    settings: Mapping[str, Any] = {}
    """What your own scorer takes as settings."""
    model: str = ""
    """The model: ``local-dir:DIR``, ``hf-hub:ORG/NAME``, or the name of an open_clip architecture
    with `pretrained`. Unset, it is that of the preset that `models` names. ``demo`` is the toy in
    this package, which knows the demo's images alone."""
    pretrained: str | None = None
    """An open_clip pretrained tag or a file of weights; only with the name of an architecture."""
    revision: str | None = None
    """The revision that is recorded with each score; unset, it is a digest of the weights."""
    recommended_score: float | None = None
    """Cosine that separates right from wrong texts for this model, until `thresholds` have measured
    it. Unset, it is the published one (OpenAI ViT-B-32: 0.28), the one in the folder's
    kaption.json, or, for a SigLIP model, the cosine at which the model itself gives a text a
    probability of 1 %. A model with none of them begins with the floor that
    `thresholds.wrong_accepted` sets."""
    thresholds: ThresholdPolicy = ThresholdPolicy()
    device: str = "auto"
    """Device of torch, such as cuda:1 or cpu; auto takes a GPU if there is one."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Number format of the model; auto takes bf16 on GPUs that have it, fp16 on others and fp32 on
    CPUs. Set fp32 to compare scores across devices."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Processor threads of torch; 0 leaves the choice to torch. Set it when several workers share a
    machine. The chart sets it to the processors that the container asks for."""

    @model_validator(mode="after")
    def _names_its_weights_once(self) -> Self:
        # open_clip would ignore `pretrained`, and scores would carry the name of another model.
        if self.pretrained and not self.model:
            raise ValueError("pretrained goes with an architecture's name: set model too")
        if self.pretrained and (self.model == "demo" or ":" in self.model):
            raise ValueError(
                f"pretrained goes with an architecture's name: {self.model!r} has its own weights"
            )
        return self


class ScorePolicy(Policy):
    """The score stage: scores alt texts and decides which pairs need a caption."""

    good_score: float | None = None
    """Cosine from which an alt text is good and the pair skips the captioners, if select accepts
    the text too. Unset, it sets itself: see clip.thresholds. Lower it to spend less on captions."""
    semantic: Literal["off", "mark", "drop"] = "off"
    """What becomes of an image that shows what a kept one shows: the cosine of their embeddings is
    at least `semantic_cosine`. ``mark`` writes the kept pair and the cosine into the pair, ``drop``
    rejects it."""
    semantic_cosine: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Depends on the scorer: docs/output.md says how to choose it. Lower it to find more."""
    semantic_images: PositiveInt = 100_000
    """Latest kept images that others are compared with. For embeddings of 512 numbers, 100,000 take
    130 MB in Redis and up to 400 MB in each worker of this stage."""
    batch_records: PositiveInt = 64
    """Images that the model computes at once. Raise it until the GPU is busy or its memory full."""
