"""A dataset in an object store: the shards below a prefix, and how to read them.

`read_manifests` tells which shards there are, `read_samples` and `read_rows` give what one holds,
and `Takedowns` tells what a reader has to leave out.
"""

from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.dataset.objects import read_rows, read_samples
from kaption.objectstore.dataset.takedowns import Takedowns

__all__ = ["Takedowns", "read_manifests", "read_rows", "read_samples"]
