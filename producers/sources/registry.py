"""Opens a source of pairs: by the name of its format, or by what its location looks like."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from kaption.connections.settings import StoreConnection
from kaption.plugins import PluginError, PluginFamily
from kaption.producers.errors import SourceError
from kaption.producers.sources.source import Source


def _source_of(module: ModuleType) -> type[Source] | None:
    own = (each for each in vars(module).values() if _is_source(each))
    return next((each for each in own if each.__module__ == module.__name__), None)


def _is_source(thing: object) -> bool:
    return inspect.isclass(thing) and issubclass(thing, Source) and not inspect.isabstract(thing)


_SOURCES = PluginFamily(
    noun="format",
    group="kaption.sources",
    setting="--format",
    package="kaption.producers.sources",
    plugin_of=_source_of,
)


def source_formats() -> dict[str, type[Source]]:
    """The sources of this package by the names of their modules."""
    return {name: find_source(name) for name in _SOURCES.names()}


def find_source(name: str) -> type[Source]:
    """The class of a source, ours or a user's, by its plug-in name. Raises SourceError."""
    try:
        found = _SOURCES.find(name)
    except PluginError as error:
        raise SourceError(str(error)) from error
    if not _is_source(found):
        raise SourceError(
            f"{name} is not a source: write a class that has kaption.producers.sources.Source as"
            " its base and defines all of its abstract methods"
        )
    kind: type[Source] = found
    return kind


def open_source(
    location: str,
    format_: str | None = None,
    options: Mapping[str, str] | None = None,
    store: StoreConnection | None = None,
) -> Source:
    """The source at `location`, a path or URL. Raises SourceError.

    `format_` is a plug-in name (see `kaption.plugins`). Without one, the first source that
    recognises the location is taken: those of this package are asked first, then the entry points
    of installed packages. `options` are keyword arguments of the source's class. `store` is passed
    to a class that takes one: it reads ``s3://`` with that endpoint and those credentials.
    """
    if not location:
        # As a path it would be the present folder.
        raise SourceError("the name of the source is empty: give a file, a folder or a URL")
    # A source of the user's own may take a location that is no path.
    ours = format_ is None or format_ in _SOURCES.names()
    if ours and "://" not in location and "{" not in location:
        path = Path(location)
        if location == "-" or (path.exists() and not (path.is_file() or path.is_dir())):
            raise SourceError(
                f"{location} is not a file: after a stop a pipe cannot be read again, so write its"
                " lines into a file first"
            )
        if not path.exists():
            raise SourceError(f"there is no file {location}: correct the path")
    if format_ is None:
        format_ = _recognised(location)
    kind = find_source(format_)
    given: dict[str, Any] = dict(options or {})
    takes = set(inspect.signature(kind).parameters)
    known = takes - {"location", "store"}
    if unknown := sorted(set(given) - known):
        raise SourceError(
            f"{format_} has no option {', '.join(unknown)}: "
            + (f"it has {', '.join(sorted(known))}" if known else "it has none")
        )
    if "store" in takes:
        given["store"] = store
    return kind(location, **given)


def _recognised(location: str) -> str:
    # An installed plug-in is imported only where none of ours fits: a broken one breaks nothing
    # else.
    for names in (_SOURCES.names(), _SOURCES.installed()):
        for name in names:
            if find_source(name).recognises(location):
                return name
    known = ", ".join((*_SOURCES.names(), *_SOURCES.installed()))
    raise SourceError(
        f"the format of {location} cannot be told from it: give --format, one of {known}"
    )
