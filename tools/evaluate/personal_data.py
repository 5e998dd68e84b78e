"""Personal data: the recall of each kind, and the texts without any that are changed."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterator
from pathlib import Path

from kaption.workers.safety.personal.mask import PersonalMask
from kaption.workers.safety.policy import PersonalDataPolicy
from tools.evaluate.figures import Figure, share
from tools.evaluate.real_images import real_images

_TEXTS = Path(__file__).with_suffix(".toml")
_BRANDS = (
    "Bosch",
    "Canon",
    "Nike Air",
    "IKEA",
    "Siemens",
    "Casio",
    "SKF",
    "Lenovo",
    "Gardena",
    "Märklin",
)
_THINGS = (
    "oil filter",
    "running shoe",
    "Ersatzteil",
    "montre homme",
    "лампа",
    "カメラ",
    "brake pad",
    "silla",
    "USB hub",
)
_SHAPES = (
    *(
        "########",
        "#### ### ###",
        "###.###.##",
        "##-####-##",
        "######-##",
        "###-##-##",
        "A## ### ## ##",
        "# ### ### ###",
    ),
    *(
        "#############",
        "##########",
        "###########",
        "################",
        "##.##.####",
        "20##-0#-1#",
        "1#.0#.20##",
        "AB#### ####",
    ),
    *(
        "##.####, #.#####",
        "###x###x## mm",
        "## x ## x ## cm",
        "#.###,## €",
        "$#,###.##",
        "#.#.#.####",
        "#-# #-# #-#",
        "####/####/###",
    ),
    *(
        "SKU-####-#####",
        "EAN #############",
        "978-#-##-######-#",
        "IMG_####_######",
        "####-####-##",
        "(20##) ### ml",
        "19##-20##",
    ),
)


def measure() -> list[Figure]:
    """Recall by kind, and false rates by kind and sample, with the masks of each kind alone."""
    data = tomllib.loads(_TEXTS.read_text("utf-8"))
    masks = [PersonalMask(kind) for kind in PersonalDataPolicy.model_fields]
    figures = [
        share(
            f"{each.name} found", [each.mask(text) != text for text in data["positive"][each.name]]
        )
        for each in masks
    ]
    real = [text for image in real_images() for text in image.captions.values()]
    samples = {
        "written": data["negative"]["texts"],
        "product titles": list(_titles(1500)),
        "captions of Tux Paint": real,
    }
    for name, texts in samples.items():
        changed = [[each.mask(text) != text for text in texts] for each in masks]
        figures += [
            share(f"{each.name}, {name}: changed", hits)
            for each, hits in zip(masks, changed, strict=True)
            if any(hits)
        ]
        figures.append(
            share(f"any kind, {name}: changed", [any(it) for it in zip(*changed, strict=True)])
        )
    return figures


def _titles(count: int) -> Iterator[str]:
    """Titles of products with numbers of thirty shapes and random digits."""
    drawn = random.Random(20011)  # noqa: S311 # draws a sample, protects nothing
    for at in range(count):
        shape = _SHAPES[at % len(_SHAPES)]
        number = "".join(str(drawn.randrange(10)) if each == "#" else each for each in shape)
        yield f"{drawn.choice(_BRANDS)} {drawn.choice(_THINGS)} {number}"
