"""The keys of a dataset: what they look like, how they are parsed, and where they are spelled."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaption.objectstore.dataset.layout import (
    Layout,
    number_of,
    partition_of,
    shard_stem,
    takedown_id_of,
)
from kaption.schemas import Takedown, TakedownKind
from support.sink_records import manifest, now

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
KINDS = (
    "data",
    "manifest",
    "merged",
    "floor",
    "takedown",
    "takedown-left",
    "takedown-lifted",
    "probe",
)
SPELLED = re.compile(rf"(?:^|[^/]/)(?:{'|'.join(KINDS)})/")
BLOB = re.compile(r"(?:^|/)blobs/")


@pytest.mark.parametrize("prefix", ["dataset/", "/dataset", "/"])
def test_a_prefix_with_a_slash_at_an_end_is_refused_with_the_right_one(prefix: str) -> None:
    with pytest.raises(ValueError, match=f"is '{prefix}': write '{prefix.strip('/')}'"):
        Layout(prefix)


@pytest.mark.parametrize(("prefix", "root"), [("", ""), ("team/dataset", "team/dataset/")])
def test_keys_are_what_the_documents_say(prefix: str, root: str) -> None:
    layout = Layout(prefix)
    takedown = Takedown(kind=TakedownKind.PAIR, value="p", requested_at=now())

    assert layout.manifest(3, 40) == f"{root}manifest/00003/00000000000000000040.json"
    assert layout.merged(3, 7) == f"{root}merged/00003/0000000007.json"
    assert layout.floor(3, 50) == f"{root}floor/00003/00000000000000000050"
    assert layout.takedown(takedown) == f"{root}takedown/{takedown.takedown_id}.json"
    assert layout.takedown_left("run") == f"{root}takedown-left/run.json"
    lifted = layout.takedown_lifted(takedown)
    assert lifted == f"{root}takedown-lifted/{takedown.takedown_id}.json"
    assert layout.probe("w1") == f"{root}probe/w1"
    stem = shard_stem(3, 40, 50, "w1")
    assert stem == "data/00003/00000000000000000040-00000000000000000050-w1"
    assert layout.object(stem) == f"{root}{stem}"


def test_each_key_is_below_the_prefix_by_which_its_kind_is_listed() -> None:
    layout = Layout("dataset")
    takedown = Takedown(kind=TakedownKind.PAIR, value="p", requested_at=now())

    assert layout.manifest(3, 40).startswith(layout.manifests(3))
    assert layout.manifests(3).startswith(layout.manifests())
    assert layout.merged(3, 7).startswith(layout.merged_manifests(3))
    assert layout.merged_manifests(3).startswith(layout.merged_manifests())
    assert layout.floor(3, 50).startswith(layout.floors(3))
    assert layout.object(shard_stem(3, 40, 50, "w1")).startswith(layout.objects())
    assert layout.takedown(takedown).startswith(layout.takedowns())
    left, lifted = layout.takedown_left("run"), layout.takedown_lifted(takedown)
    assert left.startswith(layout.takedowns_left())
    assert lifted.startswith(layout.takedowns_lifted())
    assert not any(each.startswith(layout.takedowns()) for each in (left, lifted))


def test_keys_are_parsed_into_what_they_were_made_of() -> None:
    layout = Layout("team/dataset")
    takedown = Takedown(kind=TakedownKind.PAIR, value="p", requested_at=now())

    for key in (layout.manifest(3, 40), layout.merged(3, 40), layout.floor(3, 40)):
        assert (partition_of(key), number_of(key)) == (3, 40)
    assert takedown_id_of(layout.takedown(takedown)) == takedown.takedown_id


@pytest.mark.parametrize("generation", [0, 7])
def test_a_manifest_s_key_tells_who_wrote_it(generation: int) -> None:
    layout = Layout("dataset")

    expected = layout.merged(3, generation) if generation else layout.manifest(3, 40)
    assert layout.key_of(manifest(40, 50, 3, generation=generation)) == expected


def test_keys_list_in_the_order_of_their_numbers() -> None:
    starts = [0, 9, 10, 99, 10**12]

    keys = [Layout("dataset").manifest(0, start) for start in starts]

    assert keys == sorted(keys)


# Where keys are spelled


def strings(source: str) -> Iterator[str]:
    """The strings of a module that are no docstrings; of an f-string the parts between braces."""
    tree = ast.parse(source)
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    docstrings = {id(node.value) for node in statements}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            yield node.value if isinstance(node.value, str) else ""


def spelling(pattern: re.Pattern[str]) -> set[str]:
    """The files of the wheel in which a string outside docstrings matches."""
    links = [link for link in (ROOT / "kaption").iterdir() if link.is_symlink()]
    return {
        path.relative_to(ROOT).as_posix()
        for folder in links
        for path in (ROOT / folder.name).rglob("*.py")
        if any(map(pattern.search, strings(path.read_text("utf-8"))))
    }


def test_keys_of_datasets_are_spelled_in_one_file() -> None:
    assert spelling(SPELLED) == {"objectstore/dataset/layout.py"}


def test_keys_of_blobs_are_spelled_in_one_file() -> None:
    assert spelling(BLOB) == {"objectstore/blobs.py"}


@pytest.mark.parametrize("key", ['f"{root}manifest/{n}"', '"dataset/data/"', 'p + "merged/"'])
def test_a_spelled_key_is_seen(key: str) -> None:
    assert any(map(SPELLED.search, strings(f"key = {key}")))


def test_a_docstring_may_name_keys() -> None:
    assert not any(map(SPELLED.search, strings('"""Below manifest/ lie manifests."""')))
