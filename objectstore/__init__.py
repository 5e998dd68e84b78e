"""Objects in a folder or on S3: images by their content, and datasets of shards."""

from kaption.objectstore.blobs import BlobStore, CorruptBlobError, blob_key
from kaption.objectstore.open import open_store
from kaption.objectstore.store import ObjectStore

__all__ = ["BlobStore", "CorruptBlobError", "ObjectStore", "blob_key", "open_store"]
