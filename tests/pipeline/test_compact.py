"""`kaption compact`: what the command prints."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kaption.objectstore.folder import FolderStore
from kaption.schemas import TakedownKind
from support.program import PROGRAM
from support.sink_records import offsets_in
from support.stream_records import take_down, write_chains

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def objects(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Give the command as a process."""
    settings = {"KAPTION_STORE__URL": str(tmp_path / "store")}

    def start(*arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [PROGRAM, "compact", *arguments],
            env=os.environ | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def said(process: "subprocess.Popen[str]") -> list[str]:
    out, error = process.communicate(timeout=600)
    assert process.returncode == 0, error
    return out.splitlines()


def test_compact_reports_what_it_did(start, objects, tmp_path):
    # Given
    write_chains(objects, tmp_path, {0: [[0], [1], [2]], 1: [[0], [1]]})
    take_down(objects, TakedownKind.PAIR, "0-1")
    for age in (0, 2):
        objects.put(f"dataset/data/00000/left-{age}-days-ago.tar", b"")
        written = time.time() - age * 86_400
        os.utime(tmp_path / f"store/dataset/data/00000/left-{age}-days-ago.tar", (written, written))

    # When
    dry = said(start("--dry-run", "--orphans", "--grace", "0s"))
    done = said(start("--grace", "0s", "--orphans"))

    # Then
    assert dry == [
        "5 shards into 2, 50.0KiB into 50.0KiB, 1 pairs taken down",
        "1 old objects that no manifest names",
        "nothing was changed: this was a dry run",
    ]
    assert done == [
        "5 shards into 2, 50.0KiB into 20.0KiB, 1 pairs taken down",
        "3 shards removed that were merged more than 0s ago",
        "1 old objects that no manifest names were deleted",
    ]
    assert offsets_in(objects) == [0, 2, 0, 1]
    assert objects.exists("dataset/data/00000/left-0-days-ago.tar")


@pytest.mark.parametrize(
    ("option", "value", "advice"),
    [("--to", "many", "64MiB"), ("--below", "0", "above 0"), ("--grace", "long", "2d")],
)
def test_a_wrong_option_is_named(start, option, value, advice):
    process = start(option, value)
    _, error = process.communicate(timeout=600)
    assert process.returncode == 1
    assert error.startswith(f"kaption: {option} {value}: give")
    assert advice in error


def test_a_store_that_is_not_there_is_an_error_and_one_without_shards_is_none(start, tmp_path):
    for arguments in ((), ("--dry-run",)):
        process = start(*arguments)
        _, error = process.communicate(timeout=600)
        assert process.returncode == 1
        assert error.startswith(f"kaption: there is no folder {tmp_path}/store: set store.url")
        assert not (tmp_path / "store").exists()

    (tmp_path / "store").mkdir()

    assert f"{tmp_path}/store holds no shards below dataset/ so far" in said(start())
