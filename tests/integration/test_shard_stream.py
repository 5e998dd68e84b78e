"""Shards on a real S3 server, read by DataLoader workers."""

from itertools import islice

import pytest
from torchdata.stateful_dataloader import StatefulDataLoader

from kaption.consumers import ShardOptions, ShardStream
from kaption.objectstore.s3 import S3Store
from kaption.schemas import TakedownKind
from support.stream_records import pair_ids, take_down, write_chains

pytestmark = pytest.mark.integration


def test_workers_open_their_own_connections_to_s3_and_resume(s3, tmp_path):
    # Given a dataset, and a loader that was left after some batches
    connection = s3.connection("team")
    objects = S3Store(connection)
    write_chains(objects, tmp_path, {0: [[0, 1, 2], [3, 4]], 1: [[0, 1], [2], [4, 5, 6]]})
    take_down(objects, TakedownKind.PAIR, "1-5")

    def loader() -> StatefulDataLoader:
        stream = ShardStream(connection, options=ShardOptions(buffer=3))
        return StatefulDataLoader(stream, 2, num_workers=2, collate_fn=pair_ids)

    whole, first = list(loader()), loader()
    assert list(islice(first, 2)) == whole[:2]

    # When
    second = loader()
    second.load_state_dict(first.state_dict())

    # Then
    assert list(second) == whole[2:]
    names = [*(f"0-{number}" for number in range(5)), "1-0", "1-1", "1-2", "1-4", "1-6"]
    assert sorted(name for batch in whole for name in batch) == names
