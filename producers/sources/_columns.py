"""Which columns of a table make a pair."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from kaption.producers.sources._pair import IMAGES, TEXT_NAMES, known_fields, pair_of
from kaption.producers.sources.source import Item, SourceError, Unreadable


@dataclass(frozen=True, slots=True)
class Row:
    """Values by column, or why there are none."""

    place: str
    fields: Mapping[str, Any]
    raw: bytes | None
    """As in the file; None where the file is not made of text."""
    error: str | None
    offset: int
    """In bytes, behind the row; 0 where the file cannot be read from an offset."""
    number: int
    """From 1."""


_URLS = ("url", "image_url", "img_url", "image_link", "image")
_IMAGES = ("image", *sorted(IMAGES))


@dataclass(frozen=True, slots=True)
class Columns:
    """The names that are given, or else those that data sets commonly have, in any case.

    Columns named as the fields of RawPair become these; all others go to `extra`, unless they are
    empty or bytes.
    """

    image: str | None = None
    """Of URLs or bytes."""
    text: str | None = None
    source: str | None = None
    """The name of the data set."""
    images: tuple[str, ...] = ()
    """Columns that hold images, by any name, where this is known."""

    def check(self, place: object, columns: Collection[str]) -> None:
        """Or each row would become a dead letter, for a name that was not known.

        Raises SourceError.
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
        """The row's pair, or why it is none."""
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
        """The image, taken out of the row; bytes before URLs, for they need not be fetched."""
        names = {name.lower(): name for name in row}
        for name in self._bytes():
            if isinstance(row.get(names.get(name, "")), bytes):
                return bytes(row.pop(names[name]))
        for name in self._urls():
            url = row.get(names.get(name, ""))
            # A path is not read: tables come from strangers.
            if isinstance(url, str) and url:
                del row[names[name]]
                return {"url": url}
        return None

    def _bytes(self) -> tuple[str, ...]:
        named = map(str.lower, self.images)
        return (self.image.lower(),) if self.image else (*_IMAGES, *named)

    def _urls(self) -> tuple[str, ...]:
        return (self.image.lower(),) if self.image else _URLS
