"""Compaction: small shards into larger ones, without what is replaced or taken down."""

from kaption.workers.compaction.compactor import Compacted, Compactor
from kaption.workers.compaction.orphans import find_orphans
from kaption.workers.compaction.plan import Limits
from kaption.workers.compaction.retire import retire

__all__ = ["Compacted", "Compactor", "Limits", "find_orphans", "retire"]
