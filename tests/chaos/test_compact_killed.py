"""`kaption compact`, killed as the kernel would: each record stays in one shard that is read."""

import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from kaption.consumers import ShardOptions, ShardStream
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.folder import FolderStore
from support.program import PROGRAM
from support.sink_records import offsets_in, orphans_in
from support.stream_records import pair_ids, write_chains

KILLS = 5
SHARDS = 40


@pytest.mark.chaos
def test_killed_at_any_moment_it_leaves_each_record_in_one_shard(tmp_path: Path) -> None:
    # Given many small shards, and a reader in the middle of them
    objects = FolderStore(tmp_path / "store")
    write_chains(objects, tmp_path, {0: [[offset] for offset in range(SHARDS)]})
    running = iter(ShardStream(objects, options=ShardOptions(buffer=5)))
    given = [next(running).pair.pair_id for _ in range(SHARDS // 2)]
    compact = [PROGRAM, "compact", "--to", "50KiB", "--below", "20KiB", "--grace", "0s"]
    environment = os.environ | {"KAPTION_STORE__URL": str(tmp_path / "store")}
    # When each run is killed a moment after it has begun to write
    rng, killed = random.Random(3), 0
    for _ in range(KILLS):
        before = set(objects.list("dataset/"))
        process = subprocess.Popen(compact, env=environment, stdout=subprocess.DEVNULL)
        while process.poll() is None and set(objects.list("dataset/")) == before:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        killed += process.wait() != 0
        # Then all is there, once
        assert offsets_in(objects) == list(range(SHARDS))
    # and after a run that is not killed, nothing is left of those that were
    subprocess.run(compact, env=environment, check=True)
    for path in (tmp_path / "store/dataset/data").rglob("*.*"):
        os.utime(path, (0, 0))
    subprocess.run([*compact, "--orphans"], env=environment, check=True)
    assert killed > KILLS // 2
    assert offsets_in(objects) == list(range(SHARDS))
    assert all(each.generation for each in read_manifests(objects, "dataset"))
    # Except the objects of the sink's last shard, whose manifest stays
    assert len({Path(key).stem for key in orphans_in(objects)}) == 1
    assert sorted(given + pair_ids(running)) == sorted(f"0-{n}" for n in range(SHARDS))
