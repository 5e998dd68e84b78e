"""The takedowns of a dataset: the objects ``takedown/*.json`` below its prefix."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Protocol

from pydantic import ValidationError

from objectstore.store import ObjectStore
from schemas import Takedown, encode, takedown_key
from schemas.errors import Fatal
from schemas.wire import explain

_READERS = 16


class Readable(Protocol):
    """What reading takes of an object store."""

    def get(self, key: str) -> bytes:
        """The object's bytes. Raises KeyError when there is none."""

    def list(self, prefix: str) -> Iterable[str]:
        """Keys that start with `prefix`."""


def add_takedown(objects: ObjectStore, prefix: str, takedown: Takedown) -> bool:
    """From now on every reader honours it; False where it was asked for before."""
    return objects.put_if_absent(_root(prefix) + takedown_key(takedown), encode(takedown))


def takedown_keys(objects: Readable, prefix: str) -> set[str]:
    """The keys of all."""
    return set(objects.list(f"{_root(prefix)}takedown/"))


def read_takedowns(objects: Readable, keys: Collection[str]) -> dict[str, Takedown]:
    """By key, without those that were withdrawn since they were listed.

    Raises Fatal where one cannot be read: it is never passed over.
    """

    def read(key: str) -> tuple[str, Takedown] | None:
        try:
            return key, Takedown.model_validate_json(objects.get(key))
        except KeyError:
            return None
        except ValidationError as error:
            raise Fatal(f"{key} is {explain(error, Takedown)}; correct or delete it") from error

    if not keys:
        return {}
    with ThreadPoolExecutor(min(_READERS, len(keys))) as readers:
        return dict(filter(None, readers.map(read, keys)))


def takedown_ids(objects: Readable, prefix: str, known: Collection[str] = ()) -> set[str]:
    """The ids of all. An object that is named after a known one is not read."""
    keys = takedown_keys(objects, prefix)
    named = {key for key in keys if PurePosixPath(key).stem in known}
    read = read_takedowns(objects, keys - named).values()
    return {PurePosixPath(key).stem for key in named} | {each.takedown_id for each in read}


def _root(prefix: str) -> str:
    return f"{prefix}/" if prefix else ""
