"""Images wait for their shard in a folder of the sink, and none is left there."""

import gc
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from kaption.connections.errors import Fatal, Retry
from kaption.workers.stages.sink.spool import ImageSpool
from support.sink_records import done, offsets_in, open_sink, stored

pytestmark = pytest.mark.slow


def spooled(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_images_wait_on_disk_and_are_deleted_with_their_batch(blobs, sink, tmp_path):
    # Given three prepared images, one of which is dropped with its partition
    prepared = [(m, sink.prepare(m)) for m in [stored(blobs, offset) for offset in range(3)]]
    spool = tmp_path / "kaption-spool"
    assert len(spooled(spool)) == 3
    del prepared[2]
    gc.collect()
    assert len(spooled(spool)) == 2

    # When the others are written / Then nothing is left
    sink.process(prepared)
    del prepared
    gc.collect()
    assert spooled(spool) == []
    sink.close()
    assert [path for path in spool.iterdir() if path.is_dir()] == []


def test_the_folder_of_a_dead_process_is_removed_and_that_of_a_living_one_is_not(tmp_path):
    # Given a process that died with an image in its spool, and one that lives
    script = (
        "import os, pathlib, sys\n"
        "from kaption.workers.stages.sink.spool import ImageSpool\n"
        "spool = ImageSpool(pathlib.Path(sys.argv[1])); spool.open()\n"
        "held = spool.add(b'left'); os._exit(0)\n"
    )
    root = Path(__file__).resolve().parents[3]
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, cwd=root)
    assert [path.read_bytes() for path in spooled(tmp_path)] == [b"left"]
    living = ImageSpool(tmp_path)
    living.open()
    held = living.add(b"held")

    # When a third one opens
    third = ImageSpool(tmp_path)
    third.open()

    # Then only the living one's is there
    assert spooled(tmp_path) == [held.path]
    third.close()
    living.close()


def test_a_full_disk_is_a_retry(blobs, sink, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    message = stored(blobs, 0)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(Retry, match=r"sink\.spool has no room"):
        sink.prepare(message)


def test_a_disk_that_fills_while_a_shard_is_built_is_a_retry(blobs, sink, monkeypatch, objects):
    prepared = [(m, sink.prepare(m)) for m in [stored(blobs, 0)]]

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(tarfile.TarFile, "addfile", full)
        with pytest.raises(Retry, match=r"sink\.spool has no room"):
            sink.process(prepared)
    assert done(sink.process(prepared))
    assert offsets_in(objects) == [0]


def test_a_spool_folder_that_cannot_be_made_is_fatal(objects, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Fatal, match=r"sink\.spool"):
        open_sink(objects, tmp_path / "file", "w1")
