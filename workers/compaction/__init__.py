"""Compaction: small shards into larger ones, without what is replaced or taken down."""

from workers.compaction.compactor import Compacted, Compactor
from workers.compaction.orphans import find_orphans
from workers.compaction.plan import Limits
from workers.compaction.retire import retire

__all__ = ["Compacted", "Compactor", "Limits", "find_orphans", "retire"]
