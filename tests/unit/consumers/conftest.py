import pytest

from kaption.objectstore.folder import FolderStore
from support.stream_records import CHAINS, write_chains


@pytest.fixture
def objects(tmp_path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def dataset(objects: FolderStore, tmp_path) -> FolderStore:
    write_chains(objects, tmp_path, CHAINS)
    return objects
