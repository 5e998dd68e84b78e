"""A search of stored rows of rules finds all of them, and reads the blocks that have them."""

import random

import numpy as np
import pytest

from bench.datasets import CountedStore
from kaption.objectstore.dataset import rule_blocks
from kaption.objectstore.dataset.rule_blocks import RULE, encoded_blocks, stored_blocks


def rows_of(pairs: list[tuple[int, int]]) -> np.ndarray:
    return np.array(pairs, RULE)


def put(store: CountedStore, rows: np.ndarray) -> str:
    data, digest = encoded_blocks(rows)
    key = f"rules/{len(rows)}-{digest}.bin"
    store.put(key, data)
    return key


@pytest.mark.parametrize("seed", range(30))
def test_what_is_found_is_what_was_stored(tmp_path, monkeypatch, seed):
    # Given rows with rules that fill several blocks, in objects of many reads
    draw = random.Random(seed)
    monkeypatch.setattr(rule_blocks, "BLOCK", draw.choice([1, 2, 7]))
    monkeypatch.setattr(rule_blocks, "_FIRST", draw.choice([4, 40, 1 << 14]))
    monkeypatch.setattr(rule_blocks, "_GAP", draw.choice([0, 9]))
    rules = [draw.randrange(1 << 40) for _ in range(draw.choice([1, 9]))] + [0, (1 << 40) - 1]
    starts = [draw.randrange(1 << 60) for _ in range(draw.choice([1, 3, 20]))]
    stored = sorted({(draw.choice(rules), draw.choice(starts)) for _ in range(40)})
    store = CountedStore(tmp_path)
    key = put(store, rows_of(draw.sample(stored, len(stored))))

    # When / Then
    assert stored_blocks(store, key).tolist() == stored
    for count in (1, 2, len(rules)):
        asked = {*draw.sample(rules, count), draw.randrange(1 << 40)}
        found = stored_blocks(store, key, np.array(sorted(asked), np.uint64))
        assert found.tolist() == [row for row in stored if row[0] in asked]


def test_a_search_reads_no_more_of_an_object_with_ten_times_the_rows(tmp_path):
    # Given
    store, rng = CountedStore(tmp_path), np.random.default_rng(1)
    read = []
    for count in (100_000, 1_000_000):
        rows = np.empty(count, RULE)
        rows["rule"], rows["offset"] = rng.integers(0, 1 << 40, count), rng.integers(0, 32, count)
        key = put(store, rows)
        before = store.gets, store.size

        # When
        found = stored_blocks(store, key, rows["rule"][:1])

        # Then
        assert rows[0] in found
        read.append((store.gets - before[0], store.size - before[1]))
    assert [calls for calls, _ in read] == [2, 2]
    assert read[1][1] <= read[0][1]


@pytest.mark.parametrize("part", [0, 2, 30, -1])
def test_a_damaged_part_is_no_answer(tmp_path, part):
    # Given
    store = CountedStore(tmp_path)
    key = put(store, rows_of([(rule << 20, rule % 5) for rule in range(100)]))
    data = bytearray(store.get(key))
    data[part] ^= 1
    store.put(key, bytes(data))

    # When / Then
    for asked in (None, np.array([99 << 20], np.uint64)):
        with pytest.raises(KeyError):
            stored_blocks(store, key, asked)
