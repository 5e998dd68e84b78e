"""Every source of this package, found by listing it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from kaption.connections.settings import StoreConnection
from kaption.producers.sources.source import Source, SourceError

_PACKAGE = "kaption.producers.sources"


def source_formats() -> dict[str, type[Source]]:
    """The source of each module that defines one, by the module's name."""
    found = {}
    for module in iter_modules([str(Path(__file__).parent)]):
        loaded = import_module(f"{_PACKAGE}.{module.name}")
        for each in vars(loaded).values():
            if (
                inspect.isclass(each)
                and issubclass(each, Source)
                and not inspect.isabstract(each)
                and each.__module__ == loaded.__name__
            ):
                found[module.name] = each
    return found


def open_source(
    location: str,
    format_: str | None = None,
    options: Mapping[str, str] | None = None,
    store: StoreConnection | None = None,
) -> Source:
    """The source at `location`, a path or URL; without a format it is told from the location.

    `options` are the keyword arguments of the source's class; `store` goes to those that can read
    ``s3://``, for its endpoint and credentials. Raises SourceError.
    """
    if "://" not in location and "{" not in location and not Path(location).exists():
        raise SourceError(f"there is no file {location}")
    formats = source_formats()
    if format_ is None:
        fitting = [name for name, each in formats.items() if each.recognises(location)]
        if not fitting:
            raise SourceError(
                f"what kind of source {location} is cannot be told: "
                f"give --format, one of {', '.join(formats)}"
            )
        format_ = fitting[0]
    if format_ not in formats:
        raise SourceError(f"there is no format {format_!r}: {', '.join(formats)}")
    given: dict[str, Any] = dict(options or {})
    takes = set(inspect.signature(formats[format_]).parameters)
    known = takes - {"location", "store"}
    if unknown := sorted(set(given) - known):
        raise SourceError(
            f"{format_} has no option {', '.join(unknown)}: "
            + (f"it has {', '.join(sorted(known))}" if known else "it has none")
        )
    if "store" in takes:
        given["store"] = store
    return formats[format_](location, **given)
