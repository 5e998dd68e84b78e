"""Block lists: what they refuse, and how a list is replaced while workers run."""

import hashlib
import os
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pdqhash
import pytest
from PIL import Image, ImageOps

from kaption.connections.errors import Fatal
from kaption.schemas import Reason
from kaption.workers.decode.decode import decode
from kaption.workers.decode.decoded import Decoded
from kaption.workers.policy.ingest import ImagePolicy
from kaption.workers.runtime.stage import Reject
from kaption.workers.safety import block_list
from kaption.workers.safety.block_list import UNREADABLE, BlockLists
from kaption.workers.safety.policy import BlockListPolicy
from support.ingest_bench import Bench, image_bytes, raw, reasons

KNOWN = image_bytes(80)


def pdq_line(data: bytes) -> str:
    vector, _ = pdqhash.compute(np.asarray(Image.open(BytesIO(data)).convert("RGB")))
    return np.packbits(vector.astype(np.uint8)).tobytes().hex()


def altered(data: bytes, change: Callable[[Image.Image], Image.Image]) -> bytes:
    file = BytesIO()
    change(Image.open(BytesIO(data)).convert("RGB")).save(file, "JPEG", quality=60)
    return file.getvalue()


def decoded(data: bytes) -> Decoded:
    return decode(data, ImagePolicy())


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def refuses(lists: BlockLists, data: bytes) -> str | None:
    try:
        lists.seen(data, decoded(data))
    except Reject as reject:
        return reject.detail if reject.reason is Reason.BLOCK_LISTED else None
    return None


@pytest.mark.parametrize("digest", [hashlib.sha256, hashlib.sha1, hashlib.md5])
@pytest.mark.parametrize(
    "line", ["{}", "{}  a.jpg", '"{}",99,label', "sha:{}", "{}\r", "{};x", "HASH,label\n{},x"]
)
def test_lists_of_every_form_in_use_refuse_the_file(
    tmp_path: Path, line: str, digest: Callable[[bytes], "hashlib._Hash"]
) -> None:
    file = tmp_path / "known.txt"
    file.write_text("\ufeff# known\n\n" + line.format(digest(KNOWN).hexdigest().upper()), "utf-8")
    lists = BlockLists(BlockListPolicy(exact=(str(file),)))
    lists.setup()

    assert "known.txt" in (refuses(lists, KNOWN) or "")
    assert refuses(lists, image_bytes(81)) is None


@pytest.mark.slow
def test_altered_copies_are_refused_by_their_looks_and_other_images_are_not(tmp_path: Path) -> None:
    file = tmp_path / "pdq.csv"
    # The hashes that PDQ derives for a mirrored image are far from those of 72 and 97 mirrored
    listed = [KNOWN, image_bytes(72), image_bytes(97)]
    lines = "".join(f"{pdq_line(each)},100\n" for each in listed)
    file.write_text(f"hash,quality\n{lines}", "utf-8")
    lists = BlockLists(BlockListPolicy(perceptual=(str(file),)))
    lists.setup()
    copies = [
        altered(image, change)
        for image in listed
        for change in (
            lambda image: image,
            lambda image: image.resize((150, 112)),
            ImageOps.mirror,
            lambda image: image.rotate(90, expand=True),
            lambda image: image.point(lambda level: level * 0.8),
        )
    ]

    assert all(refuses(lists, copy) for copy in copies)
    assert not any(refuses(lists, image_bytes(seed)) for seed in (*range(73, 80), *range(81, 97)))


def test_a_replaced_list_counts_and_a_broken_one_leaves_the_last_good_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, new, clock = tmp_path / "known.txt", tmp_path / "new", Clock()
    file.write_text("0" * 64)
    lists = BlockLists(BlockListPolicy(exact=(str(file),)), clock)
    lists.setup()
    before = UNREADABLE._value.get()

    def replaced(text: str) -> str | None:
        new.write_text(text)
        os.replace(new, file)
        clock.now += 2 * block_list.LOOK_S
        return refuses(lists, KNOWN)

    assert refuses(lists, KNOWN) is None
    assert replaced(hashlib.sha256(KNOWN).hexdigest())
    assert replaced("not a hash")
    assert replaced("")
    assert UNREADABLE._value.get() == before + 2
    assert "line 1 has no hash" in caplog.text or "no hash" in caplog.records[0].__dict__["why"]
    file.unlink()
    clock.now += 2 * block_list.LOOK_S
    assert refuses(lists, KNOWN)
    assert replaced("f" * 64) is None


def test_a_mounted_config_map_is_replaced_by_its_links_in_all_replicas(tmp_path: Path) -> None:
    # Given the links by which Kubernetes mounts a ConfigMap, and replicas that read it
    clock = Clock()

    def mounted(version: int, data: bytes) -> None:
        folder, link = tmp_path / f"..{version}", tmp_path / "..data_tmp"
        folder.mkdir()
        (folder / "list.txt").write_text(hashlib.sha256(data).hexdigest())
        link.symlink_to(folder.name)
        os.replace(link, tmp_path / "..data")
        shutil.rmtree(tmp_path / f"..{version - 1}", ignore_errors=True)

    mounted(1, KNOWN)
    (tmp_path / "list.txt").symlink_to("..data/list.txt")
    policy = BlockListPolicy(exact=(str(tmp_path / "list.txt"),))
    replicas = [BlockLists(policy, clock) for _ in range(3)]
    for each in replicas:
        each.setup()

    # When the map gets other entries of the same length, again and again
    for version in range(2, 6):
        other = image_bytes(80 + version)
        mounted(version, other)
        clock.now += 3

        # Then each replica refuses the new one, and the old one no longer
        assert all(refuses(each, other) for each in replicas)
        assert not any(refuses(each, KNOWN) for each in replicas)


@pytest.mark.parametrize(
    ("text", "told"), [("zz", "line 1"), ("ab" * 16 + "\nabc", "line 2"), ("# none", "no hash")]
)
def test_a_list_that_is_broken_at_the_start_is_one_clear_error(
    tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "known.txt"
    file.write_text(text)

    with pytest.raises(Fatal, match=told):
        BlockLists(BlockListPolicy(exact=(str(file),))).setup()


def test_nothing_of_a_listed_image_is_stored_or_claimed(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "known.txt"
    file.write_text(hashlib.sha256(KNOWN).hexdigest())
    stage = bench.stage(image_checks=[BlockLists(BlockListPolicy(exact=(str(file),)))])

    outcomes = bench.run(raw(KNOWN, 0), raw(image_bytes(81), 1), stage=stage)

    assert reasons(outcomes) == [Reason.BLOCK_LISTED, None]
    assert len([path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]) == 1
