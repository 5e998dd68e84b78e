"""Failures that only a folder has."""

import errno
import os
from pathlib import Path

import pytest

from kaption.connections.errors import Fatal, Retry
from kaption.connections.settings import StoreConnection
from kaption.objectstore.folder import FolderStore
from kaption.objectstore.open import open_store


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, Retry), (errno.EIO, Retry), (errno.EMFILE, Retry), (errno.EROFS, Fatal)],
)
def test_disk_errors_are_retry_or_fatal_by_what_to_do(tmp_path, monkeypatch, number, expected):
    # Given a disk that cannot take the bytes
    store = FolderStore(tmp_path)

    def fails(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fails)

    # When / Then the object is not there in part
    with pytest.raises(expected, match="a/b"):
        store.put("a/b", b"text")
    assert not store.exists("a/b")
    assert store.ready() is None


def test_a_root_folder_that_disappears_is_an_outage_and_no_missing_object(tmp_path):
    # Given a store that was empty, then used
    store = FolderStore(tmp_path / "store")
    with pytest.raises(KeyError):
        store.get("a")
    store.put("a", b"text")

    # When its folder disappears
    (tmp_path / "store").rename(tmp_path / "elsewhere")

    # Then no object is called missing, and nothing is written in its place
    for use in (
        lambda: store.get("a"),
        lambda: store.exists("a"),
        lambda: list(store.list("")),
        lambda: store.put("b", b""),
    ):
        with pytest.raises(Retry, match="is gone"):
            use()
    assert "is gone" in (store.ready() or "")
    assert not (tmp_path / "store").exists()


def test_a_root_folder_that_another_thread_makes_is_no_outage(tmp_path, monkeypatch):
    # Given another writer that makes the folder just after ours looked for it
    store = FolderStore(tmp_path / "store")
    look = Path.is_dir

    def look_too_early(path):
        there = look(path)
        monkeypatch.undo()
        store.put("theirs", b"text")
        return there

    monkeypatch.setattr(Path, "is_dir", look_too_early)

    # When / Then both objects are written
    store.put("ours", b"text")
    assert list(store.list("")) == ["ours", "theirs"]


def test_an_object_and_a_folder_of_one_name_are_refused(tmp_path):
    store = FolderStore(tmp_path)
    store.put("a", b"")
    with pytest.raises(ValueError, match="one name"):
        store.put("a/b", b"")
    store.put("c/d", b"")
    with pytest.raises(ValueError, match="one name"):
        store.put("c", b"")
    assert store.put_if_absent("c/d", b"") is False


def test_an_object_is_flushed_before_its_name_appears(tmp_path, monkeypatch):
    # Given a record of what reaches the disk in which order
    store, done = FolderStore(tmp_path), []
    for name in ("fsync", "link"):
        real = getattr(os, name)

        def told(*args, name=name, real=real):
            done.append(name)
            return real(*args)

        monkeypatch.setattr(os, name, told)
    store.put("folder/exists", b"")
    done.clear()

    # When / Then: bytes, then name, then the folder that holds the name
    store.put_if_absent("folder/new", b"text")
    assert done == ["fsync", "link", "fsync"]


def test_a_file_is_no_store(tmp_path):
    file = tmp_path / "store"
    file.write_bytes(b"")
    with pytest.raises(Fatal, match=r"store\.url .* is a file"):
        open_store(StoreConnection(url=str(file)))
