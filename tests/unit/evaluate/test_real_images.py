"""Images of a folder like that of the package: captions by language, photographs told apart."""

from pathlib import Path

import pytest
from PIL import Image

from kaption.workers.settings import UserError
from tools.evaluate.real_images import PACKAGE, real_image, real_images

TEXT = "A red kangaroo.\nde.utf8=Ein rotes Känguru\nsr@latin.utf8=Crveni kengur.\nfr.utf8=\n\n"


def stamp(root: Path, name: str, text: str = TEXT) -> Path:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGBA", (8, 8), "red").save(file)
    file.with_suffix(".txt").write_text(text, "utf-8")
    return file


def test_captions_are_by_language_and_empty_ones_are_none(tmp_path: Path) -> None:
    found = real_image(stamp(tmp_path, "animals/red.png"), tmp_path)
    assert found.captions == {
        "en": "A red kangaroo.",
        "de": "Ein rotes Känguru",
        "sr@latin": "Crveni kengur.",
    }
    assert found.caption == "A red kangaroo."
    assert found.folders == ("animals",)


@pytest.mark.parametrize(
    ("name", "photograph"),
    [
        ("animals/mammals/dogs/dog.png", True),
        ("food/apple.png", True),
        ("animals/cartoon/dog.png", False),
        ("people/toys/doll.png", False),
        ("symbols/alphabets/a.png", False),
        ("town/flags/flag.png", False),
    ],
)
def test_photographs_are_told_by_their_folders(name: str, photograph: bool, tmp_path: Path) -> None:
    assert real_image(stamp(tmp_path, name), tmp_path).photograph is photograph


def test_a_bitmap_of_a_drawing_is_none(tmp_path: Path) -> None:
    file = stamp(tmp_path, "vehicles/car.png")
    file.with_suffix(".svg").write_text("<svg/>")
    assert not real_image(file, tmp_path).photograph


def test_a_file_without_a_caption_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given the cache with the package in it
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    root = tmp_path / "kaption" / PACKAGE / "usr" / "share" / "tuxpaint" / "stamps"
    stamp(root, "animals/dog.png")
    stamp(root, "animals/dog_mirror.png").with_suffix(".txt").unlink()
    # When the images are asked for
    found = real_images()
    # Then nothing is fetched
    assert [one.file.name for one in found] == ["dog.png"]


def test_a_machine_without_apt_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"there is no apt-get here: unpack tuxpaint"):
        real_images()


def test_a_failed_download_is_told_and_leaves_no_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a package that no archive has
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("apt-get", "dpkg-deb"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'E: no such package' >&2\nexit 100\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    # When it is fetched, then the last line of the error is told
    with pytest.raises(UserError, match="E: no such package"):
        real_images()
    assert list((tmp_path / "kaption").iterdir()) == []
