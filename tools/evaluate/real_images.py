"""Real images with captions that people wrote: the stamps of the drawing program Tux Paint.

They are a package of Debian under the GPL, so they are fetched into a cache and never copied into
the repository.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from kaption.workers.settings import UserError
from tools.evaluate import cache

PACKAGE = "tuxpaint-stamps-default"
_PHOTOGRAPHED = frozenset(
    {
        *("animals", "food", "hobbies", "household", "naturalforces", "people", "plants"),
        *("sports", "vehicles"),
    }
)
"""Top folders whose bitmaps are photographs, unless a folder below says that they are not."""
_DRAWN = frozenset({"cartoon", "plastic", "toys"})


@dataclass(frozen=True, slots=True)
class RealImage:
    """A bitmap with its captions."""

    file: Path
    folders: tuple[str, ...]
    """What holds it, such as animals, mammals, dogs."""
    captions: Mapping[str, str]
    """By language, such as en, pt_BR, sr@latin."""
    photograph: bool

    @property
    def caption(self) -> str:
        """The English one; every image has it."""
        return self.captions["en"]


def real_images() -> list[RealImage]:
    """All bitmaps with a caption, in the order of their paths. Fetches them at the first call.

    Raises UserError where that fails.
    """
    root = _fetched() / "usr" / "share" / "tuxpaint" / "stamps"
    found = [
        real_image(file, root) for file in sorted(root.rglob("*.png")) if _text_of(file).exists()
    ]
    if not found:
        raise UserError(f"{root} holds no images with captions: delete it, and try again")
    return found


def real_image(file: Path, root: Path) -> RealImage:
    """The image of a file below `root`, with the captions of the text file beside it.

    The first line is the English caption, the others are such as ``de.utf8=Ein Hund``.
    """
    first, *others = _text_of(file).read_text("utf-8", "replace").splitlines() or [""]
    captions = {"en": first.strip()}
    for line in others:
        language, _, text = line.partition("=")
        if text.strip():
            captions[language.removesuffix(".utf8")] = text.strip()
    folders = file.relative_to(root).parts[:-1]
    # A bitmap of a drawing has the drawing beside it.
    drawn = not _DRAWN.isdisjoint(folders) or file.with_suffix(".svg").exists()
    return RealImage(file, folders, captions, not drawn and folders[0] in _PHOTOGRAPHED)


def _text_of(file: Path) -> Path:
    return file.with_suffix(".txt")


def _fetched() -> Path:
    """The folder with the unpacked package."""
    folder = cache() / PACKAGE
    if folder.exists():
        return folder
    if missing := [name for name in ("apt-get", "dpkg-deb") if shutil.which(name) is None]:
        raise UserError(
            f"the images are in a package of Debian, and there is no {missing[0]} here: unpack"
            f" {PACKAGE} into {folder}, or measure on Debian or Ubuntu"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f"{PACKAGE}-") as made:
        _run(("apt-get", "download", "--quiet", PACKAGE), Path(made))
        (package,) = Path(made).glob("*.deb")
        _run(("dpkg-deb", "--extract", package.name, "unpacked"), Path(made))
        (Path(made) / "unpacked").rename(folder)
    return folder


def _run(command: tuple[str, ...], folder: Path) -> None:
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 (fixed commands)
    if ended.returncode:
        why = (ended.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise UserError(
            f"`{' '.join(command)}` failed: {why} (`apt-get update` makes packages known)"
        )
