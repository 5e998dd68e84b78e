"""Blobs are stored under the sha256 of their content."""

import hashlib

import pytest

from kaption.objectstore.blobs import BlobStore, CorruptBlobError
from kaption.objectstore.folder import FolderStore
from kaption.schemas import BlobRef


def test_a_blob_is_read_by_its_reference(tmp_path):
    # Given stored bytes
    blobs = BlobStore(FolderStore(tmp_path))
    ref = blobs.put(b"image", "image/jpeg")

    # When / Then
    digest = hashlib.sha256(b"image").hexdigest()
    assert ref == BlobRef(sha256=digest, bytes=5, media_type="image/jpeg")
    assert blobs.get(ref) == b"image"
    assert blobs.exists(ref)
    assert (tmp_path / "blobs" / digest[:2] / digest[2:4] / digest).read_bytes() == b"image"
    assert blobs.ready() is None


def test_the_same_bytes_are_written_once(tmp_path):
    blobs = BlobStore(FolderStore(tmp_path))
    first = blobs.put(b"image", "image/jpeg")
    path = tmp_path / "blobs" / first.sha256[:2] / first.sha256[2:4] / first.sha256
    before = path.stat()
    assert blobs.put(b"image", "image/jpeg") == first
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_missing_blob_is_a_key_error_and_a_changed_blob_is_corrupt(tmp_path):
    blobs = BlobStore(FolderStore(tmp_path))
    ref = blobs.put(b"image", "image/jpeg")
    path = next(path for path in tmp_path.rglob(ref.sha256) if path.is_file())
    path.write_bytes(b"another")
    with pytest.raises(CorruptBlobError, match=ref.sha256):
        blobs.get(ref)
    path.unlink()
    with pytest.raises(KeyError):
        blobs.get(ref)
    assert not blobs.exists(ref)
