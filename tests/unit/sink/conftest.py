import pytest

from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.folder import FolderStore
from kaption.workers.stages.sink.stage import SinkStage
from support.sink_records import TOPIC, open_sink


@pytest.fixture
def objects(tmp_path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def blobs(objects) -> BlobStore:
    return BlobStore(objects)


@pytest.fixture
def sink(objects, tmp_path) -> SinkStage:
    sink = open_sink(objects, tmp_path, "w1")
    assert sink.resume(TOPIC, 0, 0) == 0
    return sink
