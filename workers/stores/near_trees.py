"""Finds the leaves of the trees of near claims. `near_tree.lua` says what lies in Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

Node = bytes | None
SPLIT = b"/"
"""A node that was divided: its four children have its entries."""
_ROUNDS = 80
"""More than the levels of a tree, up and down. Only a tree that lost nodes needs as many."""


def find_leaves(
    read: Callable[[Sequence[bytes]], Iterable[Node]], paths: Iterable[bytes], length: int
) -> dict[bytes, tuple[bytes, bytes]]:
    """For each path the name of the leaf that it leads to, and the leaf's entries.

    `read` returns the nodes of these names, each the beginning of a path. All paths are followed
    at once, from their first `length` bytes on, where most leaves lie: each call of `read` takes
    all of them a level up or down. A script in Redis walked as well, but its server has one
    thread, which the script's own work kept busy longer than the reading.

    Leaves may be divided meanwhile. A leaf that is read has all entries of its name that were kept
    before the first call, because entries move from a leaf to its children in one step.
    """
    nodes: dict[bytes, Node] = {}
    found: dict[bytes, tuple[bytes, bytes]] = {}
    at = _grouped(set(paths), length)
    for _ in range(_ROUNDS):
        if unknown := [name for name in at if name not in nodes]:
            nodes |= zip(unknown, read(unknown), strict=True)
        open_: dict[bytes, list[bytes]] = {}
        for (name, group), node in zip(at.items(), [nodes[name] for name in at], strict=True):
            if node == SPLIT and len(name) < len(group[0]):
                for child, part in _grouped(group, len(name) + 1).items():
                    if nodes.get(child) is None:
                        nodes.pop(child, None)  # if it was read, it is made since
                    open_.setdefault(child, []).extend(part)
            elif node is None and len(name) > 1:
                open_.setdefault(name[:-1], []).extend(group)
            else:
                found |= dict.fromkeys(group, (name, node or b""))
        if not open_:
            return found
        at = open_
    return found | {path: (path, b"") for group in at.values() for path in group}


def _grouped(paths: Iterable[bytes], length: int) -> dict[bytes, list[bytes]]:
    """The paths by their first `length` bytes."""
    groups: dict[bytes, list[bytes]] = {}
    for path in paths:
        groups.setdefault(path[:length], []).append(path)
    return groups
