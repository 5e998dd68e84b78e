"""Pairs from WebDataset tars: members with the same name and different endings are one pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os.path import commonprefix
from pathlib import Path

from kaption.connections.settings import StoreConnection
from kaption.producers.errors import SourceError
from kaption.producers.image import BLOB_IMAGE_BYTES
from kaption.producers.sources._beginning import begun, refusal
from kaption.producers.sources._pair import IMAGES, cursor, described, pair_of, parts_of
from kaption.producers.sources._shards import opened, shards_of
from kaption.producers.sources._tar import DamagedTarError, Member, members
from kaption.producers.sources.source import Found, Item, Source, Unreadable
from kaption.schemas.limits import RAW_BYTES

_TEXTS = ("txt", "caption", "text")
_FIRST_SAMPLES = 20
"""Samples after which a data set without texts or images is refused: they may be large."""


class WebDataset(Source):
    """One pair per sample: neighbouring members whose names agree up to the first dot.

    The image is the member with an image's ending (jpg, png, webp ...), and the text is in
    ``.txt``, ``.caption`` or ``.text``. ``.json`` holds further fields, under the names of
    img2dataset or of RawPair; without a text member it holds the text too.

    A location is a tar, a folder of tars, ``http(s)://...tar``, ``s3://bucket/key.tar`` or
    ``s3://bucket/prefix/``; ``{000..012}`` in it stands for these numbers. `source` is the name of
    the data set.

    A cursor is the shard's name and the offset of the next sample in bytes. Shards that are added
    later must have names that sort behind it.
    """

    def __init__(
        self, location: str, *, source: str | None = None, store: StoreConnection | None = None
    ) -> None:
        """`store` has the endpoint and credentials of S3; its URL is not used."""
        self._location = location if "://" in location else str(Path(location))
        self._source = source
        self._store = store or StoreConnection()

    @classmethod
    def recognises(cls, location: str) -> bool:
        """A tar, a location in S3, or a folder with tars that img2dataset has not written."""
        if location.lower().endswith(".tar") or location.startswith("s3://"):
            return True
        if "://" in location or next(Path(location).glob("*_stats.json"), None):
            return False
        return next(Path(location).glob("*.tar"), None) is not None

    @property
    def identity(self) -> str:
        """The location."""
        remote = "://" in self._location
        return f"webdataset:{self._location if remote else Path(self._location).resolve()}"

    def read(self, after: str | None = None) -> Iterator[Found]:
        """Each sample in turn. Raises SourceError if the first ones all lack an image or a text."""
        found = self._found(after)
        return found if after is not None else begun(found, self._refuse, _FIRST_SAMPLES)

    def _refuse(self, lacking: Sequence[Found]) -> None:
        # One sample may be damaged: it becomes a dead letter.
        if len(lacking) > 1:
            advice = (
                "each needs an image (jpg, png ...) and beside it a text, as .txt or in a .json"
            )
            raise refusal(self._location, lacking, advice)

    def _found(self, after: str | None) -> Iterator[Found]:
        shards = shards_of(self._location, ".tar", self._store)
        names = [self._name(shard) for shard in shards]
        last, offset = parts_of(after, str, int)
        first = 0
        if after is not None:
            if last not in names:
                raise SourceError(
                    f"{self._location} has no shard {last} any more, where the last run stopped: "
                    "--from-start publishes all that is there"
                )
            first = names.index(last)
        for number in range(first, len(shards)):
            begin = offset if number == first else 0
            for end, sample in self._samples(shards[number], begin):
                place = f"{shards[number].rpartition('/')[2]}/{_key(sample[0])}"
                yield Found(self._item(sample, place), cursor(names[number], end), place)

    def _name(self, shard: str) -> str:
        """The shard's name in the location: the same however the location is written."""
        same = commonprefix([self._location, shard])  # noqa: RUF071 - braces stand inside of names
        return shard[len(same) :].lstrip("/")

    def _samples(self, shard: str, begin: int) -> Iterator[tuple[int, list[Member]]]:
        sample: list[Member] = []
        try:
            with opened(shard, begin, self._store) as stream:
                for member in members(stream, begin, _wanted):
                    if sample and _key(member) != _key(sample[0]):
                        yield member.offset, sample
                        sample = []
                    sample.append(member)
        except DamagedTarError as error:
            raise SourceError(
                f"{shard} is damaged: {error}; fetch it again, then run this again: it goes on "
                "where it stopped"
            ) from error
        if sample:
            yield sample[-1].end, sample

    def _item(self, sample: list[Member], place: str) -> Item:
        parts = {_ending(member.name): member for member in sample}
        image = next((parts[each] for each in parts if each in IMAGES), None)
        if image is None:
            why = f"no image among {', '.join(parts)}"
            return Unreadable(place, sample[0].data[:RAW_BYTES], why, incomplete=True)
        if image.size > len(image.data):
            return Unreadable(
                place,
                image.data[:RAW_BYTES],
                f"{image.name} has {image.size} bytes, an image at most {BLOB_IMAGE_BYTES}: "
                "make it smaller",
            )
        try:
            content = parts["json"].data if "json" in parts else None
            text = next((parts[each].data for each in _TEXTS if each in parts), None)
            fields = described("the member", content, text, self._source)
        except ValueError as error:
            return Unreadable(place, parts["json"].data, f"its .json: {error}")
        return pair_of({**fields, "image": image.data}, place)


def _key(member: Member) -> str:
    folder, slash, name = member.name.rpartition("/")
    return f"{folder}{slash}{name.partition('.')[0]}"


def _ending(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[2].lower()


def _wanted(name: str) -> int:
    return BLOB_IMAGE_BYTES if _ending(name) in IMAGES else RAW_BYTES
