"""Counters of a dataset: what its shards hold, by language, site, crawl, licence and model."""

from __future__ import annotations

from pydantic import AwareDatetime, Field

from kaption.schemas.limits import Name, Whole
from kaption.schemas.record import Record

Tally = dict[str, tuple[Whole, Whole]]
"""How many, and their size, by name. An empty name means that nothing is known."""


class Counts(Record):
    """What a shard's pairs are, counted. The counters of several shards are added up.

    Sizes are bytes of stored images; those of `languages` and `captions` are characters.
    """

    pairs: Whole = 0
    media_types: Tally = Field(default_factory=dict)
    """Pairs by the media type of the stored image."""
    languages: Tally = Field(default_factory=dict)
    """Captions by the pair's language: that of its alt text by detection, else the given one."""
    months: Tally = Field(default_factory=dict)
    """Pairs by ``source month``: the crawl, a blank, and YYYY-MM of `fetched_at` in UTC."""
    domains: Tally = Field(default_factory=dict)
    """Pairs by the host that the image was fetched from, else that of the page."""
    licences: Tally = Field(default_factory=dict)
    opt_outs: Tally = Field(default_factory=dict)
    """Pairs that were kept with an opt-out signal of this kind, because the settings ignore it."""
    captions: Tally = Field(default_factory=dict)
    """Captions by ``["kind","model","revision"]`` as JSON."""
    audits: Tally = Field(default_factory=dict)
    """Pairs by the state of their audit."""


class PartitionCounts(Record):
    """Counters of a partition's shards up to `end`, without replaced and taken down samples.

    Compaction and ``kaption sources --write`` write them to ``counts/{partition}.json``. They are
    right as long as `generation` is the highest of the partition's merged manifests.
    """

    end: Whole
    generation: Whole
    takedowns: Name
    """Digest of the takedowns that were left out."""
    table_bytes: Whole
    """Size of the tables of these shards, to be read when takedowns or versions have come."""
    counts: Counts
    replaced: Whole | None = None
    """How many samples below `end` were known to be replaced. Only compaction tells."""


class ReadUntil(Record):
    """How far a partition of pairs.rejected is counted."""

    topic: Name
    partition: Whole
    offset: Whole
    topic_id: Name | None = None


class Refusals(Record):
    """Rejected pairs, counted from pairs.rejected before its retention time passes."""

    until: tuple[ReadUntil, ...] = ()
    counted_at: AwareDatetime
    reasons: dict[str, Whole] = Field(default_factory=dict)
    """Rejections by ``stage.reason``."""
    opt_outs: dict[str, Whole] = Field(default_factory=dict)
    """Rejections as opted_out by the kind of the signal; several signals count each."""
