"""Finds the columns of a table that make a pair."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from kaption.producers.sources._pair import IMAGES, TEXT_NAMES, known_fields, pair_of
from kaption.producers.sources._rows import Row
from kaption.producers.sources.source import Item, SourceError, Unreadable

_URLS = ("url", "image_url", "img_url", "image_link", "image")
_IMAGES = ("image", *sorted(IMAGES))


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of the image's and the text's column, or None: then common names are tried.

    Upper and lower case do not matter for common names. Columns with the names of RawPair's fields
    become these fields; all others go to `extra`, unless they are empty or bytes.
    """

    image: str | None = None
    """Column of image URLs or image bytes."""
    text: str | None = None
    source: str | None = None
    """The name of the data set."""
    images: tuple[str, ...] = ()
    """Columns that the file itself declares to hold images."""

    def check(self, place: object, columns: Collection[str]) -> None:
        """Raises SourceError if no column can be the image or the text.

        Without this check each row would become a dead letter.
        """
        names = {name.lower() for name in columns}
        if names.isdisjoint((*self._bytes(), *self._urls())):
            what, option = "image", "image_column"
        elif self.text not in columns and names.isdisjoint(TEXT_NAMES):
            what, option = "text", "text_column"
        else:
            return
        raise SourceError(
            f"{place} has no column for the {what} that is known: it has {', '.join(columns)}; "
            f"give its name with -o {option}=NAME"
        )

    def pair(self, row: Row) -> Item:
        """The row's pair, or an Unreadable with the reason."""
        if row.error is not None:
            return Unreadable(row.place, row.raw or b"", row.error)
        given = dict(row.fields)
        if self.text is not None:
            given["text"] = given.pop(self.text, None)
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
        return pair_of(fields, row.place, row.raw)

    def _image(self, row: dict[str, Any]) -> dict[str, str] | bytes | None:
        """Takes the image out of the row. Bytes come before URLs, which ingest has to fetch."""
        names = {name.lower(): name for name in row}
        for name in self._bytes():
            if isinstance(row.get(names.get(name, "")), bytes):
                return bytes(row.pop(names[name]))
        for name in self._urls():
            url = row.get(names.get(name, ""))
            # Not a path: tables come from strangers, who must not read this machine's files.
            if isinstance(url, str) and url:
                del row[names[name]]
                return {"url": url}
        return None

    def _bytes(self) -> tuple[str, ...]:
        named = map(str.lower, self.images)
        return (self.image.lower(),) if self.image else (*_IMAGES, *named)

    def _urls(self) -> tuple[str, ...]:
        return (self.image.lower(),) if self.image else _URLS
