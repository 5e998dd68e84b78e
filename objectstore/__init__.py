"""Objects in a folder or on S3: what every part that reads or writes pictures and shards shares."""

from objectstore.blobs import BlobStore, CorruptBlobError, blob_key
from objectstore.open import open_store
from objectstore.store import ObjectStore

__all__ = ["BlobStore", "CorruptBlobError", "ObjectStore", "blob_key", "open_store"]
