"""Prompts by model family: what the transformers captioner asks a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from kaption.schemas import CaptionKind

Aspect = Literal["appearance", "texture", "context", "fused"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question, or the beginning of a caption. A fused template contains ``{alt_text}``."""

    id: str
    template: str
    aspect: Aspect

    @property
    def kind(self) -> CaptionKind:
        """FUSED for prompts that quote the alt text, which are counted apart; else VLM."""
        return CaptionKind.FUSED if self.aspect == "fused" else CaptionKind.VLM

    def text(self, alt_text: str) -> str:
        """The prompt for an alt text, whose double quotes would end the quotation: they become
        single.
        """
        if self.aspect != "fused":
            return self.template
        return self.template.replace("{alt_text}", " ".join(alt_text.replace('"', "'").split()))


_ONLY = "Describe only what you see."

PROMPT_SETS: Mapping[str, tuple[Prompt, ...]] = {
    # Marks that the small model was trained with; the empty one asks for a full description.
    "demo": (
        Prompt("demo/full", "", "appearance"),
        Prompt("demo/appearance", "appearance:", "appearance"),
        Prompt("demo/texture", "texture:", "texture"),
        Prompt("demo/context", "context:", "context"),
    ),
    # BLIP continues the beginning of a caption; it does not follow instructions.
    "blip": (
        Prompt("blip/plain", "", "appearance"),
        Prompt("blip/photo", "a photography of", "appearance"),
        Prompt("blip/texture", "a close view of the surface of", "texture"),
        Prompt("blip/context", "in the background there is", "context"),
    ),
    # The form of the questions is that of the BLIP-2 paper (Li et al. 2023, section 4.1).
    "blip-2": (
        Prompt("blip-2/plain", "a photo of", "appearance"),
        Prompt(
            "blip-2/appearance",
            f"Question: What objects are in the picture and what do they look like? {_ONLY}"
            " Answer:",
            "appearance",
        ),
        Prompt(
            "blip-2/texture",
            f"Question: Which materials, textures and colours are visible? {_ONLY} Answer:",
            "texture",
        ),
        Prompt(
            "blip-2/context",
            f"Question: Where was the picture taken and what happens in it? {_ONLY} Answer:",
            "context",
        ),
        Prompt(
            "blip-2/fused",
            'Question: The web page calls the picture "{alt_text}". What does it show?'
            f" {_ONLY} Answer:",
            "fused",
        ),
    ),
    # PaliGemma knows a few tasks by name, and no questions about style.
    "paligemma": (
        Prompt("paligemma/caption", "caption en", "appearance"),
        Prompt(
            "paligemma/texture",
            "answer en which materials, textures and colours are visible?",
            "texture",
        ),
        Prompt("paligemma/describe", "describe en", "context"),
    ),
    "chat": (
        Prompt(
            "chat/appearance",
            "Describe the objects in this picture and what they look like in one or two sentences."
            f" {_ONLY}",
            "appearance",
        ),
        Prompt(
            "chat/texture",
            "Describe the materials, textures, colours and the light in this picture in one"
            f" sentence. {_ONLY}",
            "texture",
        ),
        Prompt(
            "chat/context",
            f"Describe where this picture was taken and what is happening in one sentence. {_ONLY}",
            "context",
        ),
        Prompt(
            "chat/fused",
            'The web page calls this picture "{alt_text}". Write one caption that keeps what of'
            " this can be seen in the picture, names included, and corrects what is wrong."
            f" {_ONLY}",
            "fused",
        ),
    ),
}
