import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

import kaption.consumers.training
from kaption.consumers.training.images import Augmentation, ImageTransform
from kaption.consumers.training.wording import covered, says_colour, says_one_way, says_side
from kaption.schemas import CleanPair, OcrText
from kaption.schemas.letterbox import Letterbox
from support.training_samples import clean_pair, gradient

pytestmark = pytest.mark.slow

BOX = Letterbox(32, 32, "bicubic", (128, 102, 76), (0.5, 0.4, 0.3), (0.25, 0.25, 0.25))
PAIRS = [clean_pair(number) for number in range(60)]


def shown(
    augmentation: Augmentation | None, text: str, pair: CleanPair = PAIRS[0], **given: Any
) -> torch.Tensor:
    return ImageTransform(BOX, augmentation).pixels(gradient(), pair, text, **given)


def mirrored(pixels: torch.Tensor) -> bool:
    middle = pixels[0, 16].int()
    return bool(middle[4] > middle[27])


def mirrors(text: str, **given: Any) -> int:
    """Count how many of 60 pairs are mirrored."""
    augmentation = Augmentation(flip=1.0, least_area=1.0, jitter=0.0)
    return sum(mirrored(shown(augmentation, text, pair, **given)) for pair in PAIRS)


@pytest.mark.parametrize(
    "text",
    [
        "a dog to the left of a tree",
        "LEFT-HAND drive car",
        "from l. to r.: Anna and Ben",
        "Ein Hund rechts neben dem Baum",
        "eine scharfe Linkskurve",
        "Anna und Ben (v.l.n.r.)",
        "un chien à gauche",
        "un chien a\u0300 droite",
        "de g. à d. : Anna et Ben",
        "un perro a la izquierda",
        "el coche de la dcha.",
        "un cane a sinistra dell'albero",
        "foto a dx",
        "um cão à direita",
        "een hond aan de linkerkant",
        "hond rechts van de boom",
        "shoe_left_02",
    ],
)
def test_a_text_that_names_a_side_is_never_mirrored(text: str) -> None:
    assert says_side(text)
    assert mirrors(text) == 0


@pytest.mark.parametrize(
    "text",
    [
        "a dog on grass",
        "leftover food and a copyright",
        "ein Hund auf der Wiese",
        "un chien dans l'herbe",
        "un perro en la hierba",
        "un cane sull'erba",
        "um cão na relva",
        "een hond in het gras",
    ],
)
def test_texts_that_name_no_side_are_mirrored(text: str) -> None:
    assert not says_side(text)
    assert mirrors(text) == 60


@pytest.mark.parametrize(
    "text",
    [
        "a man under a sign",
        'a mug with "best dad"',
        "Becher mit „Kaffee“",
        "une horloge au mur",
        "el mapa del metro",
    ],
)
def test_what_a_mirror_makes_unreadable_is_never_mirrored(text: str) -> None:
    assert says_one_way(text)
    assert mirrors(text) == 0


def test_an_image_with_recognised_text_is_never_mirrored() -> None:
    pair = clean_pair(1, ocr=(OcrText(text="STOP"),))

    assert not mirrored(shown(Augmentation(flip=1.0), "a street", pair))


def test_a_text_that_no_list_covers_is_treated_as_if_it_named_everything() -> None:
    assert mirrors("собака в траве") == 0
    assert mirrors("pies w trawie", language="pl") == 0
    assert mirrors("ein Hund im Gras", language="de-AT") == 60
    assert not covered("собака слева", "en")


@pytest.mark.parametrize(
    ("kind", "says"), [("sides", says_side), ("one_way", says_one_way), ("colours", says_colour)]
)
def test_every_language_has_lists_and_every_entry_is_found(
    kind: str, says: Callable[[str], bool]
) -> None:
    lists = tomllib.loads(
        (Path(kaption.consumers.training.__file__).parent / "wording.toml").read_text("utf-8")
    )

    missed = [
        entry
        for language in lists.values()
        for entry in language[kind]
        if not says(f"x {entry.replace('*', '').title()}, y")
    ]

    assert set(lists) == {"en", "de", "fr", "es", "it", "pt", "nl"}
    assert missed == []


def test_half_of_the_pairs_are_mirrored_by_default_and_others_in_the_next_epoch() -> None:
    pairs = [clean_pair(number) for number in range(600)]

    def flipped(epoch: int) -> list[bool]:
        return [Augmentation().mirrors(pair, "a dog", None, epoch) for pair in pairs]

    assert sum(flipped(0)) == pytest.approx(300, abs=50)
    assert flipped(0) == flipped(0) != flipped(1)


def test_crops_keep_the_ratio_and_most_of_the_image() -> None:
    augmentation = Augmentation(least_area=0.8)

    windows = [augmentation.window(pair, (400, 200), 0) for pair in PAIRS]

    for left, upper, right, lower in windows:
        assert 0 <= left < right <= 400
        assert 0 <= upper < lower <= 200
        assert (right - left) * (lower - upper) >= 0.8 * 400 * 200
        assert (right - left) / (lower - upper) == pytest.approx(2, rel=0.02)
    assert len(set(windows)) > 50


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("a dog on the grass", True),
        ("a reddish ball", False),
        ("ein hellblaues Haus", False),
        ("ein weißes Haus", False),
        ("une voiture noire", False),
        ("un coche rojo", False),
        ("una casa gialla", False),
        ("um gato preto", False),
        ("een donkerrode fiets", False),
        ("a night photo in black and white", False),
    ],
)
def test_colours_change_only_where_the_text_names_none(text: str, changed: bool) -> None:
    plain = Augmentation(flip=0.0, least_area=1.0, jitter=0.0)
    jittering = Augmentation(flip=0.0, least_area=1.0, jitter=0.3)

    differ = not torch.equal(shown(jittering, text), shown(plain, text))

    assert says_colour(text) is not changed
    assert differ is changed


def test_augmentation_does_not_change_the_colour_of_the_padding() -> None:
    pixels = shown(Augmentation(flip=1.0, jitter=0.5), "a dog")

    assert torch.equal(pixels[:, 0, 0], torch.tensor(BOX.pad, dtype=torch.uint8))


def test_changes_are_the_same_for_the_same_seed_epoch_and_pair() -> None:
    def pixels(seed: int, epoch: int) -> bytes:
        return shown(Augmentation(seed), "a dog", epoch=epoch).numpy().tobytes()

    assert pixels(1, 2) == pixels(1, 2)
    assert len({pixels(1, 2), pixels(1, 3), pixels(2, 2)}) == 3


def test_without_augmentation_training_sees_what_the_scorer_sees() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 50, 3), np.uint8))

    pixels = ImageTransform(BOX).pixels(image, PAIRS[0], "left red sign", epoch=3)

    assert torch.equal(pixels, BOX.pixels(image))


def test_a_letterbox_normalises_as_open_clip_does() -> None:
    config = open_clip.transform.PreprocessCfg(size=(32, 32), mode="RGB", resize_mode="longest")
    box = Letterbox.of({**vars(config), "fill_color": 7})
    image = gradient(32, 32)

    ours = box.normalised(box.pixels(image)[None])[0]

    theirs = open_clip.transform.image_transform_v2(config, is_train=False)(image)
    assert box.pad == (7, 7, 7)
    assert "pad070707" in box.id
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("wrong", [{"flip": 2}, {"least_area": 0}, {"jitter": 1}])
def test_impossible_augmentations_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="flip is a probability"):
        Augmentation(**wrong)
