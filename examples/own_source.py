"""A source of your own: caption files of the COCO data set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kaption.producers.sources import Found, Item, Source, SourceError, Unreadable
from kaption.schemas import ImageSource, RawPair


class CocoCaptions(Source):
    """One pair for each annotation of a file such as ``captions_val2017.json``.

    A cursor is the number of annotations up to there. `language` is that of the captions.
    """

    def __init__(self, location: str, *, language: str = "en") -> None:
        self._path = Path(location)
        self._language = language

    @classmethod
    def recognises(cls, location: str) -> bool:
        """By its name."""
        name = Path(location).name
        return name.startswith("captions_") and name.endswith(".json")

    @property
    def identity(self) -> str:
        """The path: a later run goes on where the last one stopped."""
        return f"coco:{self._path.resolve()}"

    def read(self, after: str | None = None) -> Iterator[Found]:
        """Each annotation in turn."""
        done = 0 if after is None else _number(after)
        try:
            content = json.loads(self._path.read_bytes())
            urls = {image["id"]: image["coco_url"] for image in content["images"]}
            annotations = content["annotations"]
        except OSError as error:
            raise SourceError(f"{self._path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise SourceError(f"{self._path} is no caption file of COCO: {error!r}") from error
        for number, annotation in enumerate(annotations[done:], start=done + 1):
            yield Found(self._item(annotation, urls), str(number))

    def _item(self, annotation: dict[str, Any], urls: dict[int, str]) -> Item:
        try:
            return RawPair(
                pair_id=f"coco-{annotation['id']}",
                text=annotation["caption"],
                image=ImageSource(url=urls[annotation["image_id"]]),
                source="coco",
                language=self._language,
            )
        except (KeyError, ValueError) as error:  # pydantic's ValidationError is a ValueError
            raw = json.dumps(annotation).encode()
            return Unreadable(f"annotation {annotation.get('id')}", raw, repr(error))


def _number(cursor: str) -> int:
    if not cursor.isdecimal():
        raise SourceError(f"{cursor[:50]!r} is no cursor of this source: --from-start ignores it")
    return int(cursor)
