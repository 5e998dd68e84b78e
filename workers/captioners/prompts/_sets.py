"""The prompts of this package by model family, and the choice between them and a user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kaption.connections.errors import Fatal
from kaption.workers.captioners.prompts._own import read_file, read_prompts
from kaption.workers.captioners.prompts._prompt import Prompt

_ONLY = "Describe only what you see."

_PROMPTS: Mapping[str, Mapping[str, str | tuple[str, ...]]] = {
    # Marks that the small model was trained with; the empty one asks for a full description.
    "demo": {"full": "", "appearance": "appearance:", "texture": "texture:", "context": "context:"},
    # BLIP continues the beginning of a caption; it does not follow instructions.
    "blip": {
        "plain": "",
        "photo": "a photography of",
        "texture": "a close view of the surface of",
        "context": "in the background there is",
    },
    # The form of the questions is that of the BLIP-2 paper (Li et al. 2023, section 4.1).
    "blip-2": {
        "plain": "a photo of",
        "appearance": "Question: What objects are in the picture and what do they look like?"
        f" {_ONLY} Answer:",
        "texture": f"Question: Which materials, textures and colours are visible? {_ONLY} Answer:",
        "context": f"Question: Where was the picture taken and what happens in it? {_ONLY} Answer:",
        "fused": 'Question: The web page calls the picture "{alt_text}". What does it show?'
        f" {_ONLY} Answer:",
    },
    # Florence-2 knows a few tasks by these very sentences.
    "florence2": {
        "caption": "What does the image describe?",
        "appearance": "Describe in detail what is shown in the image.",
        "describe": "Describe with a paragraph what is shown in the image.",
    },
    # The first two are prompts of the InstructBLIP paper (Dai et al. 2023, appendix E).
    "instructblip": {
        "caption": "A short image description.",
        "appearance": "Write a detailed description for the image.",
        "texture": f"Which materials, textures and colours are visible? {_ONLY}",
        "context": f"Where was the picture taken and what happens in it? {_ONLY}",
        "fused": f'The web page calls the picture "{{alt_text}}". What does it show? {_ONLY}',
    },
    # PaliGemma knows a few tasks by name, and no questions about style.
    "paligemma": {
        "caption": "caption en",
        "texture": "answer en which materials, textures and colours are visible?",
        "describe": "describe en",
    },
    "chat": {
        "appearance": "Describe the objects in this picture and what they look like in one or two"
        f" sentences. {_ONLY}",
        "texture": "Describe the materials, textures, colours and the light in this picture in one"
        f" sentence. {_ONLY}",
        "context": "Describe where this picture was taken and what is happening in one sentence."
        f" {_ONLY}",
        "fused": 'The web page calls this picture "{alt_text}". Write one caption that keeps what'
        " of this can be seen in the picture, names included, and corrects what is wrong."
        f" {_ONLY}",
    },
    # For models that follow instructions; each answer goes into the next question. Nobody has
    # measured it with a real model yet.
    "chain": {
        "dense": (
            "Describe this picture in three to five sentences: every object, its colour and"
            f" material, how many there are, where they are and what happens. {_ONLY}",
            'Text that was read in it: "{ocr}".',
            "A tagger named these, perhaps wrongly: {tags}.",
        ),
        "short": 'A description of this picture: "{dense}" Write one sentence of at most 20 words'
        " that tells this picture from similar ones. Use only what is in the picture.",
        "texture": "Describe the materials, textures, colours and the light in this picture in one"
        f" sentence. {_ONLY}",
        "fused": (
            'The web page calls this picture "{alt_text}". A description of it: "{short}" Write one'
            " caption of both. Keep the names, numbers and places of the web page where the picture"
            f" does not contradict them. {_ONLY}",
            "Write it in {language}.",
        ),
    },
}
_SAMPLING: Mapping[str, tuple[tuple[str, Any], ...]] = {
    "chain/dense": (("max_new_tokens", 200),),
    "chain/fused": (("max_new_tokens", 100),),
}
_ASPECTS = {"caption": "appearance", "describe": "context", "dense": "context"}
_ASPECTS |= dict.fromkeys(("full", "plain", "photo", "short"), "appearance")
"""The aspects of prompts whose name is not that of their aspect."""


def _prompt(id_: str, name: str, template: str | tuple[str, ...]) -> Prompt:
    first, *more = (template,) if isinstance(template, str) else template
    sampling = _SAMPLING.get(id_, ())
    return Prompt(id_, first, _ASPECTS.get(name, name), tuple(more), sampling)


PROMPT_SETS: Mapping[str, tuple[Prompt, ...]] = {
    family: tuple(_prompt(f"{family}/{name}", name, each) for name, each in prompts.items())
    for family, prompts in _PROMPTS.items()
}


def prompt_set(
    given: str | Sequence[Mapping[str, Any]], setting: str, *others: str
) -> tuple[Prompt, ...]:
    """The prompts of a set of this package, of a TOML file, or in tables of the settings.

    Raises Fatal with what to write into `setting`; `others` are further names that it may have.
    """
    if not isinstance(given, str):
        return read_prompts(given, setting)
    if given.endswith(".toml"):
        return read_file(Path(given))
    if given not in PROMPT_SETS:
        raise Fatal(
            f"there is no prompt set {given!r}: set {setting} to"
            f" {', '.join([*others, *sorted(PROMPT_SETS)])}, or a file of yours that ends in .toml"
        )
    return PROMPT_SETS[given]
