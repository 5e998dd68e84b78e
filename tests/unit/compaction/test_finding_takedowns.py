"""Compaction finds what a takedown covers without reading every table, and misses nothing."""

import random
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256

import pytest

from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset import rule_blocks, rule_rows
from kaption.objectstore.dataset.checkpoint import decoded_checkpoint, encoded_checkpoint
from kaption.objectstore.dataset.checkpointer import Checkpointer
from kaption.objectstore.dataset.counts import count_partition, stored_counts
from kaption.objectstore.dataset.index import DatasetIndex
from kaption.objectstore.dataset.layout import Layout
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.dataset.objects import DamagedError, DataObjects, read_rows, read_samples
from kaption.objectstore.dataset.shard import offset_of, parse_sample
from kaption.objectstore.dataset.takedowns import Takedowns, lift_takedown
from kaption.objectstore.folder import FolderStore
from kaption.schemas import BlobRef, CleanPair, Takedown, TakedownKind, TextSource, rules_for
from kaption.schemas.takedown import Rule
from kaption.testing.records import clean_pair, image_ref
from kaption.workers.compaction import Limits
from kaption.workers.compaction.obsolete import find_new_obsolete, find_obsolete
from kaption.workers.runtime.stage import Incoming
from support.compacting import compact, retire_all
from support.sink_records import now
from support.stream_records import named, take_down, write_shards

pytestmark = pytest.mark.slow
LAYOUT = Layout("dataset")
HOSTS = ["a.example", "IMG.a.example", "x.img.a.example:8080", "b.example.", "bücher.example"]


class Dataset:
    """One partition to which anything may happen, drawn by a seed."""

    def __init__(self, objects: FolderStore, spool, seed: int) -> None:
        self.objects, self.spool = objects, spool
        self.draw = random.Random(seed)
        self.records: list[CleanPair] = []

    def url(self) -> str:
        return f"https://{self.draw.choice(HOSTS)}/{self.draw.randint(0, 30)}"

    def record(self) -> Incoming[CleanPair]:
        at, draw = len(self.records), self.draw
        made = named(
            BlobStore(self.objects), at, 0, page_url=self.url(), version=draw.randint(1, 4)
        )
        image = {"url": self.url(), "original_sha256": f"{draw.randint(0, 20):064x}"}
        image |= {"crawled_url": self.url()} if draw.random() < 0.3 else {}
        changes: dict[str, object] = {"image": made.record.image.model_copy(update=image)}
        if draw.random() < 0.4:
            changes["pair_id"] = f"often-{draw.randint(0, 3)}"
        if draw.random() < 0.2:
            changes["image"] = made.record.image
            changes["extra"] = {"image_url": self.url(), "crawled_url": self.url()}
        if draw.random() < 0.3:
            source = TextSource(pair_id=f"copy-{draw.randint(0, 9)}", page_url=self.url())
            caption = made.record.captions[0].model_copy(update={"source": source})
            changes["captions"] = (*made.record.captions, caption)
        record = made.record.model_copy(update=changes)
        self.records.append(record)
        return replace(made, record=record)

    def shards(self) -> None:
        for _ in range(self.draw.randint(1, 4)):
            shard = [self.record() for _ in range(self.draw.randint(1, 3))]
            write_shards(self.objects, self.spool, [shard])

    def checkpoint(self) -> None:
        Checkpointer(self.objects, "dataset").write(0)

    def killed_checkpoint(self) -> None:
        """The writer dies before it commits."""

        class Dying(FolderStore):
            def put_if_absent(self, key, data, **_):
                raise KeyboardInterrupt

        with suppress(KeyboardInterrupt):
            Checkpointer(Dying(self.spool / "store"), "dataset").write(0)

    def unreadable_checkpoint(self) -> None:
        """A shard can be read again after its checkpoint."""
        shard = self.draw.choice(read_manifests(self.objects, "dataset"))
        keys = [LAYOUT.object(entry.key) for entry in shard.objects]
        saved = {key: self.objects.get(key) for key in keys}
        for key in keys:
            self.objects.delete(key)
        self.checkpoint()
        for key, data in saved.items():
            self.objects.put(key, data)

    def earlier_version(self) -> None:
        """A checkpoint of an earlier version names no rows of rules."""
        for key in self.objects.list(LAYOUT.checkpoints()):
            head, entries = decoded_checkpoint(self.objects.get(key), 0)
            bare = head.model_copy(update={"rule_blocks": (), "examined_rules": None})
            self.objects.put(key, encoded_checkpoint(bare, entries))

    def merge(self) -> None:
        compact(self.objects, Limits(below=1 << 40, to=1 << 40, records=self.draw.randint(2, 8)))
        if self.draw.random() < 0.5:
            retire_all(self.objects)

    def take_down(self) -> None:
        take_down(self.objects, *self.draw.choice(sorted(self.rules())))

    def lift(self) -> None:
        for data in [self.objects.get(key) for key in self.objects.list(LAYOUT.takedowns())]:
            if self.draw.random() < 0.3:
                lift_takedown(self.objects, "dataset", Takedown.model_validate_json(data))

    def damaged_table(self) -> None:
        shard = self.draw.choice(read_manifests(self.objects, "dataset"))
        table = next(entry for entry in shard.objects if entry.format == "parquet")
        self.objects.put(LAYOUT.object(table.key), b"damaged")

    def damaged_rules(self) -> None:
        keys = list(self.objects.list(LAYOUT.all_rules()))
        if keys:
            key = self.draw.choice(keys)
            data = bytearray(self.objects.get(key))
            data[self.draw.randrange(len(data))] ^= 1
            self.objects.put(key, bytes(data))

    def rules(self) -> set[Rule]:
        return {rule for record in self.records for rule in rules_for(record)}

    def samples(self) -> dict[int, tuple[CleanPair, bool]]:
        """The pairs in the tars by offset, and whether their tables can be read."""
        found: dict[int, tuple[CleanPair, bool]] = {}
        for shard in read_manifests(self.objects, "dataset"):
            whole = True
            try:
                read_rows(self.objects, "dataset", shard)
            except DamagedError:
                whole = False
            for key, members in read_samples(self.objects, "dataset", shard):
                found[offset_of(key)] = parse_sample(members)[0], whole
        return found


STEPS = [Dataset.shards, Dataset.checkpoint, Dataset.merge, Dataset.take_down] * 2
STEPS += [Dataset.killed_checkpoint, Dataset.unreadable_checkpoint, Dataset.earlier_version]
STEPS += [Dataset.damaged_table, Dataset.damaged_rules, Dataset.lift]


@pytest.mark.parametrize("seed", range(40))
def test_what_is_found_is_what_a_look_at_every_sample_finds(objects, tmp_path, monkeypatch, seed):
    # Given a dataset with a history, in some runs with many rules that look alike or many blocks
    monkeypatch.setattr(rule_rows, "_BITS", 40 if seed % 4 else 4)
    monkeypatch.setattr(rule_blocks, "BLOCK", 4096 if seed % 2 else 3)
    monkeypatch.setattr(rule_blocks, "_FIRST", 4096 if seed % 2 else 50)
    monkeypatch.setattr(rule_blocks, "_GAP", 10)
    dataset = Dataset(objects, tmp_path, seed)
    dataset.shards()
    for step in dataset.draw.choices(STEPS, k=10):
        step(dataset)
    samples = dataset.samples()
    stored = DatasetIndex(objects, "dataset").read()[0]
    manifests = read_manifests(objects, "dataset")

    for kind, value in dataset.draw.choices(sorted(dataset.rules()), k=12):
        # When one more rule is taken down
        takedown = Takedown(kind=TakedownKind(kind), value=value, requested_at=now())
        key = LAYOUT.takedown(takedown)
        before = objects.get(key) if objects.exists(key) else None
        take_down(objects, kind, value)
        takedowns = Takedowns(objects, "dataset")
        found = find_new_obsolete(objects, "dataset", stored, takedowns)

        # Then each covered sample is found, or its table is told to be unreadable
        covered = {offset: whole for offset, (it, whole) in samples.items() if takedowns.covers(it)}
        assert found.taken_down == {offset for offset, whole in covered.items() if whole}
        assert found.unknown or all(covered.values())
        scanned = find_obsolete(DataObjects(objects, "dataset"), manifests, takedowns)
        assert (found.taken_down, found.holding) == (scanned.taken_down, scanned.holding)
        if before is None:
            objects.delete(key)


@pytest.mark.parametrize("seed", range(20))
def test_counters_that_compaction_keeps_are_those_of_all_samples(objects, tmp_path, seed):
    # Given a dataset with a history of damages that are no shard's
    dataset = Dataset(objects, tmp_path, seed)
    steps = [step for step in STEPS if step is not Dataset.damaged_table] + [Dataset.merge] * 4
    dataset.shards()

    for step in dataset.draw.choices(steps, k=12):
        # When
        step(dataset)
        compact(objects, Limits(below=1, to=1, records=1))

        # Then
        data, chain = DataObjects(objects, "dataset"), read_manifests(objects, "dataset")
        stored = DatasetIndex(objects, "dataset").read()[0]
        found = find_new_obsolete(objects, "dataset", stored, Takedowns(objects, "dataset"))
        gone = found.replaced | found.taken_down
        exact, faults = count_partition(data, chain, gone, found.takedowns)
        assert faults == []
        kept = stored_counts(objects, "dataset")[0]
        assert kept.model_copy(update={"replaced": None}) == exact


def test_stored_rows_of_rules_are_found_by_later_versions():
    # Given a pair whose addresses have other spellings than their normal forms
    page, url = "HTTP://Bücher.Example:80/%7ea/./b?q=é#top", "https://cdn.example.org./A%2fB"
    image = image_ref(BlobRef(sha256="a" * 64, bytes=1, media_type="image/jpeg"), url=url)
    pair = clean_pair(0, image=image, pair_id="pair", page_url=page)

    # When
    rows = rule_rows.rule_rows(7, rules_for(pair))

    # Then if this has to change, `PartitionCheckpoint.rule_blocks` needs another name
    rules = ["pair:pair", f"sha256:{'a' * 64}", "url:https://cdn.example.org/A%2FB"]
    rules += ["domain:cdn.example.org", "domain:org", "domain:example.org", "domain:example"]
    rules += ["url:http://xn--bcher-kva.example/~a/b?q=%C3%A9", "domain:xn--bcher-kva.example"]
    keys = sorted(int(sha256(rule.encode()).hexdigest()[:10], 16) for rule in rules)
    assert rows.tolist() == [(key, 7) for key in keys]
