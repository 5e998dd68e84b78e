"""Pins: how they are made and deleted, and that a dead writer leaves none that cannot be read."""

from datetime import timedelta

import pytest

from kaption.connections.errors import Fatal
from kaption.consumers import ShardOptions, ShardStream
from kaption.objectstore.dataset.layout import Layout
from kaption.objectstore.dataset.pins import Pin, add_pin, delete_pin, find_pin, read_pins
from kaption.objectstore.folder import FolderStore
from support.compacting import compact, retire_all
from support.sink_records import now
from support.stream_records import pair_ids, write_chains

pytestmark = pytest.mark.slow
CHAINS = {0: [[0, 1], [3]], 2: [[1], [2], [4]]}


@pytest.fixture
def objects(tmp_path) -> FolderStore:
    objects = FolderStore(tmp_path / "store")
    write_chains(objects, tmp_path, CHAINS)
    return objects


def pin(objects: FolderStore, name: str = "one", writer: str = "w") -> Pin:
    return add_pin(objects, "dataset", name, writer, now())


def test_a_pin_says_how_far_each_partition_reaches(objects):
    # Given one partition that is merged
    compact(objects)
    made = pin(objects)
    assert read_pins(objects, "dataset") == {"one": made}
    assert find_pin(objects, "dataset", "one") == made
    ends = {number: (at.end, at.generation, at.pairs) for number, at in made.partitions.items()}
    assert ends == {0: (4, 1, 3), 2: (5, 1, 3)}


def test_the_size_of_a_pin_is_that_of_its_partitions(tmp_path):
    sizes = []
    for shards in (2, 40):
        objects = FolderStore(tmp_path / f"{shards}")
        write_chains(objects, tmp_path, {0: [[each] for each in range(shards)]})
        pin(objects)
        sizes.append(len(objects.get(Layout("dataset").pin("one"))))
    assert sizes[1] - sizes[0] <= 4  # digits


@pytest.mark.parametrize("name", ["", "a b", "../one", ".hidden", "a/b", "x" * 101, "é"])
def test_a_bad_name_is_an_error(objects, name):
    with pytest.raises(Fatal, match="is no name of a pin: give up to 100 of"):
        pin(objects, name)
    with pytest.raises(Fatal, match="there is no pin"):
        find_pin(objects, "dataset", name)


def test_a_name_is_given_once(objects):
    made = pin(objects)
    with pytest.raises(Fatal, match="there is a pin one already: choose another name"):
        pin(objects, writer="other")
    assert find_pin(objects, "dataset", "one") == made


def test_an_unknown_name_is_an_error_that_names_the_known_ones(objects):
    with pytest.raises(Fatal, match="there is no pin 'two' below dataset/pins/: there are none"):
        delete_pin(objects, "dataset", "two", now())
    pin(objects)
    pin(objects, "three")
    with pytest.raises(Fatal, match="no pin 'two' below dataset/pins/: there are one, three"):
        list(ShardStream(objects, options=ShardOptions(pin="two")))


def test_an_empty_dataset_is_not_pinned(tmp_path):
    objects = FolderStore(tmp_path / "empty")
    with pytest.raises(Fatal, match="there are no shards below dataset/ so far"):
        pin(objects)
    assert read_pins(objects, "dataset") == {}


def test_a_dataset_with_a_gap_is_not_pinned(objects):
    objects.delete(Layout("dataset").manifest(2, 2))
    with pytest.raises(Fatal, match="partition 2: no manifest accounts for offsets 2 to 3"):
        pin(objects)
    assert read_pins(objects, "dataset") == {}


def test_a_pin_that_is_damaged_is_an_error(objects):
    objects.put(Layout("dataset").pin("one"), b"{}")
    with pytest.raises(Fatal, match=r"dataset/pins/one\.json is no pin: .*restore or delete it"):
        read_pins(objects, "dataset")


class Dying(FolderStore):
    """A folder whose process dies at one of its calls: none after it does anything."""

    def __init__(self, root, step: int) -> None:
        super().__init__(root)
        self.left = step

    def _step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt

    def put(self, key, data, **kwargs):
        self._step()
        super().put(key, data, **kwargs)

    def put_if_absent(self, key, data, **kwargs):
        self._step()
        return super().put_if_absent(key, data, **kwargs)

    def list(self, prefix, after=""):
        self._step()
        return super().list(prefix, after)

    def delete(self, key):
        self._step()
        super().delete(key)


def test_a_writer_that_dies_leaves_no_pin_or_one_that_is_not_finished(objects, tmp_path):
    # Given a writer that dies at each of its steps
    whole, left = pair_ids(ShardStream(objects)), set[str]()
    for step in range(20):
        name = f"at-{step}"
        try:
            pin(Dying(tmp_path / "store", step), name)
        except KeyboardInterrupt:
            left |= {name} & read_pins(objects, "dataset").keys()
        else:
            break
    assert 1 < len(left) < step

    # When shards are merged and removed
    compact(objects)
    assert retire_all(objects) == 0
    assert pair_ids(ShardStream(objects, options=ShardOptions(pin=name))) == whole
    delete_pin(objects, "dataset", name, now())
    assert retire_all(objects) == 0

    # Then what is not finished keeps everything, says so, and can go after an hour
    for each in left:
        with pytest.raises(Exception, match=f"the pin {each} is not finished"):
            list(ShardStream(objects, options=ShardOptions(pin=each)))
        with pytest.raises(Fatal, match="is being made since 2026-11-22 12:00:00 UTC"):
            delete_pin(objects, "dataset", each, now() + timedelta(minutes=59))
        delete_pin(objects, "dataset", each, now() + timedelta(hours=1))
    assert retire_all(objects) == 3


def test_a_request_that_was_repeated_finds_its_own_pin(objects, monkeypatch):
    put = FolderStore.put_if_absent

    def lost(self, key, data, **kwargs):
        assert put(self, key, data, **kwargs)
        return False

    monkeypatch.setattr(FolderStore, "put_if_absent", lost)
    assert pin(objects).partitions
