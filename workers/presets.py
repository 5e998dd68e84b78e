"""Presets: a scorer and a captioner that go together, by one word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

PresetName = Literal["small", "balanced", "best", "demo"]


@dataclass(frozen=True, slots=True)
class Preset:
    """Names of models, and what a user must know before they are downloaded."""

    scorer: str
    """The value of `clip.model`."""
    pretrained: str | None
    """The value of `clip.pretrained`."""
    captioner: str
    """The value of `recaption.transformers.model`."""
    suits: str
    licence: str
    """The licences of both models."""
    size: str
    """Parameters and the size of the download, scorer and captioner."""


PRESETS: Mapping[PresetName, Preset] = {
    "small": Preset(
        *("ViT-B-32-SigLIP2-256", "webli", "HuggingFaceTB/SmolVLM-256M-Instruct"),
        *("a CPU", "Apache-2.0", "0.4 B + 0.3 B parameters, 2 GB"),
    ),
    "balanced": Preset(
        *("ViT-SO400M-16-SigLIP2-256", "webli", "HuggingFaceTB/SmolVLM2-2.2B-Instruct"),
        *("a GPU of 16 GB", "Apache-2.0", "1.1 B + 2.2 B parameters, 9 GB"),
    ),
    "best": Preset(
        *("ViT-gopt-16-SigLIP2-384", "webli", "Qwen/Qwen3-VL-8B-Instruct"),
        *("a GPU of 40 GB", "Apache-2.0", "1.9 B + 8.8 B parameters, 25 GB"),
    ),
    "demo": Preset(
        *("demo", None, "demo"),
        *("the demo alone", "Apache-2.0", "in this package, 7 MB"),
    ),
}
"""SigLIP 2 reads texts of more than a hundred languages, and its logit bias gives a threshold."""

TOY = "a toy that knows the rendered scenes of `kaption demo` alone: on other images it is wrong"


def no_model(setting: str) -> str:
    """What to do where `setting` names no model."""
    offered = ", ".join(f"{name} (for {PRESETS[name].suits})" for name in PRESETS if name != "demo")
    return (
        f"no model is chosen ({setting} is unset): give --models (KAPTION_MODELS) one of {offered};"
        " or name models of your own by clip.model and recaption.transformers.model"
    )


def with_preset(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as nested mappings, with the preset's models where no model is named."""
    settings = dict(settings)
    preset = PRESETS.get(cast("PresetName", settings.get("models")))
    if preset is None:
        return settings
    clip, recaption = dict(settings.get("clip") or {}), dict(settings.get("recaption") or {})
    if not clip.get("model") and not clip.get("pretrained"):
        clip |= {"model": preset.scorer, "pretrained": preset.pretrained}
    model = dict(recaption.get("transformers") or {})
    if not model.get("model"):
        model["model"] = preset.captioner
    return settings | {"clip": clip, "recaption": recaption | {"transformers": model}}
