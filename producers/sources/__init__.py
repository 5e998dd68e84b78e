"""Formats that pairs are read from, one file each."""

from kaption.producers.errors import SourceError
from kaption.producers.sources.registry import open_source, source_formats
from kaption.producers.sources.source import Found, Item, Large, Source, Unreadable

__all__ = [
    "Found",
    "Item",
    "Large",
    "Source",
    "SourceError",
    "Unreadable",
    "open_source",
    "source_formats",
]
