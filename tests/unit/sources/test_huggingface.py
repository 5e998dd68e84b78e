"""Data sets that `datasets` has saved become pairs, one for each row."""

from pathlib import Path
from typing import Any

import datasets
import pytest
from PIL import Image

from kaption.producers.sources import Found, SourceError, open_source
from kaption.schemas import ImageSource, RawPair
from support.source_inputs import saved_dataset, saved_splits
from support.training_samples import gradient, png

URL = "https://cdn.example/1.jpg"


def saved(folder: Path, *rows: dict[str, Any], **features: Any) -> Path:
    """Columns whose features are not given hold strings."""
    named = {name: features.get(name, datasets.Value("string")) for name in rows[0]}
    datasets.Dataset.from_list(list(rows), datasets.Features(named)).save_to_disk(folder / "saved")
    return folder / "saved"


def pairs(path: Path, **options: str) -> list[RawPair]:
    items = [found.item for found in open_source(str(path), options=options).read()]
    return [item for item in items if isinstance(item, RawPair)]


def test_an_image_is_published_as_the_bytes_that_it_was_given_as(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(png(gradient()))
    rows = [{"photo": each, "text": "a"} for each in (str(tmp_path / "1.png"), gradient())]

    from_file, from_pixels = pairs(saved(tmp_path, *rows, photo=datasets.Image()))

    assert from_file.image == ImageSource(inline=png(gradient()))
    assert from_pixels.image.inline is not None
    assert from_pixels.extra == {}


def test_a_column_of_urls_is_read_as_in_a_table(tmp_path: Path) -> None:
    row = {"URL": URL, "TEXT": "a mug", "LANGUAGE": "en", "similarity": 0.5}

    (pair,) = pairs(saved(tmp_path, row, similarity=datasets.Value("float32")))

    assert (pair.image, pair.text, pair.language) == (ImageSource(url=URL), "a mug", "en")
    assert pair.extra == {"similarity": 0.5}


def test_columns_can_be_named_and_further_images_are_left_out(tmp_path: Path) -> None:
    images = {"image": gradient(), "photo": Image.new("RGB", (2, 2))}
    row = {**images, "text": "no", "prompt": "a mug"}
    path = saved(tmp_path, row, **dict.fromkeys(images, datasets.Image()))

    (pair,) = pairs(path, image_column="photo", text_column="prompt", source="shop")

    assert pair.image.inline is not None
    assert len(pair.image.inline) < len(png(gradient()))
    assert (pair.text, pair.source) == ("a mug", "shop")


def test_rows_are_those_that_were_selected(tmp_path: Path) -> None:
    rows = [{"url": f"{URL}?{at}", "text": str(at)} for at in range(9)]
    chosen = datasets.Dataset.from_list(rows).select([7, 2, 5]).sort("text", reverse=True)
    chosen.save_to_disk(tmp_path / "saved")

    assert [pair.text for pair in pairs(tmp_path / "saved")] == ["7", "5", "2"]


def test_a_split_is_a_data_set_too(tmp_path: Path) -> None:
    path = Path(saved_splits(tmp_path))

    splits = [pair for split in ("train", "test") for pair in pairs(path / split)]

    assert splits == pairs(path)


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (
            {"photo": URL, "text": "a"},
            "no column with a known name for the image: it has photo, text; .*image_column=",
        ),
        (
            {"url": URL, "prompt": "a"},
            "no column with a known name for the text: it has url, prompt; .*text_column=",
        ),
    ],
)
def test_without_a_known_column_the_error_names_the_option(
    tmp_path: Path, row: dict[str, str], error: str
) -> None:
    with pytest.raises(SourceError, match=error):
        pairs(saved(tmp_path, row))


@pytest.mark.parametrize("kept", [0.3, -8, 0], ids=["middle", "end", "empty"])
def test_a_file_that_is_cut_off_is_not_taken_for_a_whole_one(tmp_path: Path, kept: float) -> None:
    path = saved(tmp_path, {"url": URL, "text": "a"})
    (file,) = path.glob("*.arrow")
    whole = file.read_bytes()
    file.write_bytes(whole[: int(kept * len(whole)) if kept >= 0 else int(kept)])

    with pytest.raises(SourceError, match="is cut off"):
        pairs(path)


def test_a_folder_that_was_not_saved_completely_is_an_error(tmp_path: Path) -> None:
    path = saved(tmp_path, {"url": URL, "text": "a"})
    (path / "state.json").unlink()

    with pytest.raises(SourceError, match=r"state\.json"):
        pairs(path)
    (path / "state.json").write_text("{}")
    with pytest.raises(SourceError, match="is not what `datasets` writes"):
        pairs(path)


def test_a_missing_file_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    location = saved_dataset(tmp_path)
    found: list[Found] = list(open_source(location).read())
    saved(tmp_path, {"url": URL, "text": "a"})

    with pytest.raises(SourceError, match=r"no file data-00001-of-00002\.arrow any more"):
        list(open_source(location).read(found[-1].cursor))
