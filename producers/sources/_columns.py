"""Finds the columns of a table that make a pair."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaption.producers.errors import SourceError
from kaption.producers.sources._pair import IMAGES, TEXT_NAMES, known_fields, pair_of
from kaption.producers.sources._rows import Row
from kaption.producers.sources.source import Item, Unreadable
from kaption.schemas.address import image_address, is_web
from kaption.schemas.odd_values import URL_NAMES, plain_name
from kaption.schemas.plain_json import whole_characters

_URLS = (*URL_NAMES, "image")
_IMAGES = ("image", *sorted(IMAGES))
_SHOWN_CHARS = 500
ADVICE = (
    "name the folder of the files with -o image_folder=FOLDER, or another column with"
    " -o image_column=NAME or -o text_column=NAME"
)
"""What to do about a file whose records all lack an image or a text."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of the image's and the text's column, or None: then common names are tried.

    Common names may have any spelling of `plain_name`. Columns with the names of RawPair's fields
    become these fields; all others go to `extra`, unless they are empty or bytes.
    """

    image: str | None = None
    """Column of image URLs or image bytes."""
    text: str | None = None
    source: str | None = None
    """The name of the data set."""
    images: tuple[str, ...] = ()
    """Columns that the file itself declares to hold images."""
    folder: Path | None = None
    """Where the files lie that a string in the column `image` may name; None: it names none."""

    def check(self, place: object, columns: Collection[str]) -> None:
        """Raises SourceError if no column can be the image or the text.

        Without this check each row would become a dead letter.
        """
        names = {plain_name(name) for name in columns}
        if names.isdisjoint((*self._bytes(), *self._urls())):
            what, option = "image", "image_column"
        elif names.isdisjoint(self._texts()):
            what, option = "text", "text_column"
        else:
            return
        raise SourceError(
            f"{place} has no column with a known name for the {what}: it has "
            f"{whole_characters(', '.join(columns))[:_SHOWN_CHARS]}; "
            + (_delimiter_hint(columns) or f"give its name with -o {option}=NAME")
        )

    def any_known(self, columns: Collection[str]) -> bool:
        """Whether one of them is an image or a text."""
        names = {plain_name(name) for name in columns}
        known = (*self._bytes(), *self._urls(), *self._texts(), *TEXT_NAMES)
        return not names.isdisjoint(known)

    def pair(self, row: Row) -> Item:
        """The row's pair, or an Unreadable with the reason."""
        if row.error is not None:
            return Unreadable(row.place, row.raw or b"", row.error)
        given = dict(row.fields)
        if self.text:
            named = {plain_name(name): name for name in given}.get(*self._texts())
            if named != "text" and "text" in given:
                given["text_given"] = given.pop("text")
            if named is not None:
                given["text"] = given.pop(named)
        image = self._image(given)
        fields = {
            name: value
            for name, value in known_fields(given).items()
            if not isinstance(value, bytes)
        }
        if image is not None:
            fields["image"] = image
        if self.source is not None:
            fields.setdefault("source", self.source)
        return pair_of(fields, row.place, row.raw, self.folder)

    def _image(self, row: dict[str, Any]) -> Any:
        """Takes the image out of the row. Bytes come before URLs, which ingest has to fetch."""
        names = {plain_name(name): name for name in row}
        for name in self._bytes():
            if isinstance(row.get(names.get(name, "")), bytes):
                return bytes(row.pop(names[name]))
        # An object, or the path of a file, comes before an address that ingest has to fetch.
        files = (self.image or "image",) if self.folder is not None else ()
        for name in (*files, *self._urls()):
            image = row.get(names.get(plain_name(name), ""))
            if _is_source(image):
                return row.pop(names[plain_name(name)])
            if isinstance(image, str) and image.strip():
                del row[names[plain_name(name)]]
                return image if name in files else _url(image, row.get("page_url"))
        return None

    def _bytes(self) -> tuple[str, ...]:
        named = map(plain_name, self.images)
        return (plain_name(self.image),) if self.image else (*_IMAGES, *named)

    def _texts(self) -> tuple[str, ...]:
        return (plain_name(self.text),) if self.text else TEXT_NAMES

    def _urls(self) -> tuple[str, ...]:
        return (plain_name(self.image),) if self.image else _URLS


def folder_named(option: str | None) -> Path | None:
    """The folder that the option image_folder names. Raises SourceError if there is none."""
    if option is None:
        return None
    if not option or not Path(option).is_dir():
        raise SourceError(f"-o image_folder={option}: there is no such folder")
    return Path(option)


def _url(text: str, page_url: Any) -> str | bytes | dict[str, str]:
    """The address. What is none stays a URL, which ingest refuses; it is never a path."""
    try:
        return image_address(text, page_url)
    except ValueError:
        return {"url": text}


def _is_source(image: Any) -> bool:
    return isinstance(image, Mapping) and not {"url", "inline", "blob"}.isdisjoint(image)


def _delimiter_hint(columns: Collection[str]) -> str:
    """What to do about a file whose columns are separated by another character, or no header."""
    first = next(iter(columns), "")
    for delimiter, name in ((";", ";"), ("\t", "tab"), ("|", "|"), (",", ",")):
        if len(columns) == 1 and delimiter in first:
            return f"its columns seem to be separated by {name!r}: give -o 'delimiter={name}'"
    if any(is_web(name) for name in columns):
        return "it seems to have no header: give the names of its columns with -o columns=NAME,NAME"
    return ""
