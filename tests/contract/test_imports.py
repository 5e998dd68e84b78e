"""Imports point one way: the rules of the design, held by reading the sources."""

from pathlib import Path

import pytest

from support.import_rules import (
    CLIENTS,
    INTERFACES,
    LIGHT,
    NEVER_AT_LOAD,
    cycle_of,
    heavy_at_load,
    misplaced,
    not_in_base,
    wrong_directions,
)
from support.imports import Tree, imports_of, tree_of, within

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tree() -> Tree:
    found = tree_of(ROOT / "kaption")
    assert len(found) > 250
    return found


def test_imports_point_one_way(tree: Tree) -> None:
    assert list(wrong_directions(tree)) == []


def test_clients_and_environment_stay_in_their_places(tree: Tree) -> None:
    assert list(misplaced(tree)) == []


def test_every_kafka_client_is_constructed_in_one_file(tree: Tree) -> None:
    using = {
        (module, each.name.rpartition(".")[2])
        for module, imports in tree.items()
        for each in imports
        if each.name.startswith("kafka.") and each.name.endswith(CLIENTS)
    }

    assert using == {("kaption.connections.kafka.clients", name) for name in CLIENTS}


def test_a_light_install_loads_nothing_beyond_the_base(tree: Tree) -> None:
    assert list(not_in_base(tree, LIGHT)) == []


def test_models_are_loaded_at_first_use(tree: Tree) -> None:
    assert list(heavy_at_load(tree, NEVER_AT_LOAD)) == []


def test_interfaces_exist_and_speak_to_nothing_outside(tree: Tree) -> None:
    assert set(INTERFACES) <= set(tree)
    assert list(not_in_base(tree, INTERFACES)) == []


def test_no_modules_import_each_other(tree: Tree) -> None:
    assert cycle_of(tree) == []


@pytest.mark.parametrize("folder", ["kaption", "tests", "bench", "examples", "deploy", "tools"])
def test_nothing_imports_a_folder_of_ours_by_its_bare_name(folder: str) -> None:
    bare = [link.name for link in (ROOT / "kaption").iterdir() if link.is_symlink()]
    assert "schemas" in bare
    links = [link for link in (ROOT / folder).iterdir() if link.is_symlink()]

    found = [
        f"{path}:{each.line} imports {each.name}"
        for top in [ROOT / folder, *links]
        for path in top.rglob("*.py")
        for each in imports_of(path.read_text(encoding="utf-8"), path.stem)
        if within(each.name, bare)
    ]

    assert found == []
