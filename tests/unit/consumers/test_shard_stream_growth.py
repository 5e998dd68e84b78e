"""A stream that follows gives new shards until it is stopped."""

import threading
from itertools import islice

import pytest

from kaption.consumers import ShardOptions, ShardStream
from support.stream_records import ALL, pair_ids, resumed, write_chains

pytestmark = pytest.mark.slow


def test_follow_gives_new_samples_until_it_is_stopped(dataset, tmp_path):
    # Given a stream that has given all there is
    stop = threading.Event()
    stream = ShardStream(
        dataset, options=ShardOptions(follow=True, stop=stop, buffer=4, poll_s=0.05)
    )
    running = iter(stream)
    assert sorted(pair_ids(islice(running, len(ALL)))) == ALL

    # When shards come, to a chain there is and to a new one
    write_chains(dataset, tmp_path, {1: [[9]], 3: [[0], [1]]})
    found = pair_ids(islice(running, 2))
    state = stream.state_dict()
    found += pair_ids(islice(running, 1))

    # Then they are given, once, and after the state what was left then
    assert sorted(found) == ["1-9", "3-0", "3-1"]
    again = resumed(dataset, state, follow=True, stop=stop, buffer=4, poll_s=0.05)
    assert pair_ids(islice(again, 1)) == found[2:]
    stop.set()
    assert list(running) == []


@pytest.mark.parametrize("options", [{"shuffle": False}, {"buffer": 4}])
def test_a_stopped_stream_leaves_the_rest_for_the_next_one(dataset, options):
    # Given a stream that is stopped before it has given all there is
    stop = threading.Event()
    stream = ShardStream(
        dataset, options=ShardOptions(follow=True, stop=stop, poll_s=0.05, **options)
    )
    running = iter(stream)
    found = pair_ids(islice(running, 2))
    stop.set()
    found += pair_ids(running)
    assert len(found) < len(ALL)

    # When / Then
    found += pair_ids(resumed(dataset, stream.state_dict(), **options))
    assert sorted(found) == ALL
