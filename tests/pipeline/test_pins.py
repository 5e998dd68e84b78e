"""`kaption pins`: what the commands print, and what `kaption compact` says of them."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kaption.consumers import ShardOptions, ShardStream
from kaption.objectstore.folder import FolderStore
from support.program import PROGRAM
from support.stream_records import pair_ids, write_chains

Give = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def kaption(tmp_path: Path) -> Give:
    """Give the program."""
    settings = {"KAPTION_STORE__URL": str(tmp_path / "store")}

    def give(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [PROGRAM, *arguments],
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    return give


def test_a_version_is_pinned_listed_kept_and_let_go(kaption, tmp_path):
    # Given a dataset that is pinned twice
    objects = FolderStore(tmp_path / "store")
    write_chains(objects, tmp_path, {0: [[0], [1], [2]], 1: [[0, 1], [4]]})
    whole = pair_ids(ShardStream(objects))
    assert kaption("pins", "add", "run-7").stdout == "pinned run-7: 6 records in 2 partitions\n"
    assert kaption("pins", "add", "run-8").returncode == 0

    # When shards are merged
    merged = kaption("compact", "--grace", "0s").stdout.splitlines()
    listed = [line.split() for line in kaption("pins").stdout.splitlines()]
    foreseen = kaption("compact", "--grace", "0s", "--dry-run").stdout.splitlines()

    # Then their old shards stay while there is a pin, and the commands say so
    assert merged[-2:] == [
        "0 shards removed that were merged more than 0s ago",
        "3 more of them are kept for `kaption pins`: " + foreseen[-2].rpartition(" ")[2],
    ]
    assert foreseen[-2:] == [merged[-1], "nothing was changed: this was a dry run"]
    assert listed[0] == ["pin", "since", "records", "partitions"]
    assert [(each[0], *each[-3:]) for each in listed[1:]] == [
        ("run-7", "UTC", "6", "2"),
        ("run-8", "UTC", "6", "2"),
    ]
    assert pair_ids(ShardStream(objects, options=ShardOptions(pin="run-7"))) == whole
    assert kaption("pins", "delete", "run-7").stdout == "deleted run-7\n"
    assert "3 more" in kaption("compact", "--grace", "0s").stdout
    assert kaption("pins", "delete", "run-8").returncode == 0
    last = kaption("compact", "--grace", "0s").stdout.splitlines()
    assert last[-1] == "3 shards removed that were merged more than 0s ago"
    assert kaption("pins").stdout == "there are no pins below dataset/\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("add", "a/b"), "'a/b' is no name of a pin: give up to 100 of [A-Za-z0-9._-], a"),
        (("add", "one"), "there is a pin one already: choose another name, or delete it"),
        (("delete", "two"), "there is no pin 'two' below dataset/pins/: there are one"),
    ],
)
def test_a_wrong_name_is_told_in_one_line(kaption, tmp_path, arguments, told):
    write_chains(FolderStore(tmp_path / "store"), tmp_path, {0: [[0]]})
    kaption("pins", "add", "one")
    done = kaption("pins", *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"kaption: {told}")


def test_a_store_without_shards_is_not_pinned(kaption, tmp_path):
    assert "there is no folder" in kaption("pins").stderr
    (tmp_path / "store").mkdir()
    done = kaption("pins", "add", "one")
    assert done.stderr == (
        "kaption: there are no shards below dataset/ so far: nothing is pinned\n"
    )
    assert done.returncode == 1
