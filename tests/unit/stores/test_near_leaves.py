"""The way from a path to its leaf, in trees that others divide meanwhile."""

from collections.abc import Sequence

import pytest

from kaption.workers.stores.near_trees import SPLIT, Node, find_leaves

PATHS = [b"1000", b"1001", b"1023", b"1300"]
TREE = {
    b"1": SPLIT,
    b"10": SPLIT,
    b"11": b"b",
    b"12": b"",
    b"13": b"d",
    b"100": b"ab",
    b"101": b"",
    b"102": b"c",
    b"103": b"",
}
LEAVES = {b"1000": b"100", b"1001": b"100", b"1023": b"102", b"1300": b"13"}


class Tree:
    """Nodes, and what was asked for."""

    def __init__(self, nodes: dict[bytes, bytes], changes: Sequence[dict[bytes, bytes]] = ()):
        self.nodes = dict(nodes)
        self.asked: list[list[bytes]] = []
        self._changes = iter(changes)

    def read(self, names: Sequence[bytes]) -> list[Node]:
        self.asked.append(sorted(names))
        found = [self.nodes.get(name) for name in names]
        self.nodes |= next(self._changes, {})
        return found


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_the_leaves_are_found_from_above_and_from_below(length: int) -> None:
    tree = Tree(TREE)
    found = find_leaves(tree.read, PATHS, length)
    assert found == {path: (name, TREE[name]) for path, name in LEAVES.items()}
    # Each node is read once, and all of a level in one call
    asked = [name for names in tree.asked for name in names]
    assert len(asked) == len(set(asked))
    assert len(tree.asked) <= 3


def test_a_leaf_that_is_divided_while_it_is_looked_for_is_found_below() -> None:
    # Given a reader that misses a node because its parent is still a leaf
    before = {b"1": SPLIT, b"10": b"abc", b"11": b"", b"12": b"", b"13": b"d"}
    tree = Tree(before, [TREE])
    # When the parent is divided before it is read / Then the reader goes down again
    found = find_leaves(tree.read, PATHS, 3)
    assert found == {path: (name, TREE[name]) for path, name in LEAVES.items()}


def test_every_entry_that_was_kept_before_is_read_however_leaves_are_divided() -> None:
    # Given a leaf that is divided once more after each reading
    path = b"1" + b"0" * 8
    changes = []
    for at in range(1, 9):
        children = {path[:at] + digit: b"" for digit in (b"1", b"2", b"3")}
        changes.append({path[:at]: SPLIT, path[: at + 1]: b"entry", **children})
    for length in range(1, 9):
        tree = Tree({b"1": b"entry"}, changes)
        [(name, entries)] = find_leaves(tree.read, [path], length).values()
        assert entries == b"entry", (length, name)


def test_a_tree_that_lost_nodes_gives_no_entries_and_does_not_hold_up_the_others() -> None:
    lost = {name: node for name, node in TREE.items() if name != b"100"}
    found = find_leaves(Tree(lost).read, PATHS, 2)
    assert [found[path][1] for path in PATHS] == [b"", b"", b"c", b"d"]


def test_an_empty_set_has_no_entries() -> None:
    found = find_leaves(Tree({}).read, PATHS, 3)
    assert {entries for _, entries in found.values()} == {b""}
    assert {name for name, _ in found.values()} == {b"1"}
