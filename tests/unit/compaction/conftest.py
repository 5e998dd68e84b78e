import pytest

from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.folder import FolderStore


@pytest.fixture
def objects(tmp_path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def blobs(objects) -> BlobStore:
    return BlobStore(objects)
