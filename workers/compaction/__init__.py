"""Compaction: small shards become larger ones, without what was replaced or taken down."""

from kaption.workers.compaction.compactor import Compacted, Compactor
from kaption.workers.compaction.plan import Limits
from kaption.workers.compaction.retire import Retired, find_orphans, retire

__all__ = ["Compacted", "Compactor", "Limits", "Retired", "find_orphans", "retire"]
