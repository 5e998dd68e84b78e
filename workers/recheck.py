"""Asks the hosts of kept images again: what is opted out now, and what is gone."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, ValidationError

from kaption.consumers import TopicReader
from kaption.consumers.stream import Stop
from kaption.objectstore import open_store
from kaption.objectstore.dataset.manifests import live, read_manifests
from kaption.objectstore.dataset.objects import DamagedError, DataObjects
from kaption.objectstore.dataset.rule_rows import RULE_COLUMNS
from kaption.objectstore.dataset.table import VERSION_COLUMNS, read_parquet
from kaption.schemas import (
    BlobRef,
    Caption,
    CleanPair,
    ImageRef,
    Reason,
    Takedown,
    TakedownKind,
    TextSource,
)
from kaption.schemas.limits import DETAIL_CHARS, Detail, Url
from kaption.schemas.opt_outs.rsl import RSL_UNREAD
from kaption.schemas.pair import crawled_url, image_url
from kaption.schemas.record import Record
from kaption.schemas.topics import CLEAN
from kaption.workers.decode.pool import DecodePool
from kaption.workers.fetch.fetcher import Fetcher
from kaption.workers.fetch.site_rules import UNREACHABLE
from kaption.workers.fetch.target import server_of
from kaption.workers.runtime.stage import Later, Reject
from kaption.workers.settings import Settings, UserError
from kaption.workers.stages.ingest.opt_outs import OptOuts
from kaption.workers.stores.takedowns import TakedownList
from kaption.workers.wiring import build_takedowns

_HOSTS = 32
"""Web servers that are asked at once."""
_CHUNK = 500
_PATIENCE_S = 60.0
"""Longest wait that a server may ask for. After it, its image counts as not reached."""
# Copies of these take a tenth of the time of `model_construct`, which looks at every field.
_BLOB, _IMAGE = BlobRef.model_construct(), ImageRef.model_construct()
_PAIR = CleanPair.model_construct()
_log = logging.getLogger(__name__)
_GONE = re.compile(r"answered (404|410)\b")


Addresses = dict[str, tuple[str, str | None]]
"""The address of each pair's image, and of its page."""


class HostAnswer(StrEnum):
    """What an image's host says today."""

    ALLOWED = "allowed"
    OPTED_OUT = "opted_out"
    GONE = "gone"
    """The server answers 404 or 410. This is no opt-out."""
    NOT_REACHED = "not_reached"
    """No usable answer: a time-out, another error, or a file that is no image any more."""


class Asked(Record):
    """A line of the report: one image's address."""

    url: Url
    found: HostAnswer
    detail: Detail = ""
    pairs: int = 1
    """Kept pairs with this image's address."""
    asked_at: AwareDatetime

    @property
    def why(self) -> str:
        """The detail in a word: the kind of the signal, the reason of the rejection, the status."""
        status = _GONE.search(self.detail)
        first = self.detail.split()[0].rstrip(":,") if self.detail else ""
        return status[1] if status and self.found is HostAnswer.GONE else first


@dataclass(frozen=True, slots=True)
class KeptImage:
    """An address that kept pairs have their image from, with a page that shows it."""

    page_url: str | None
    pairs: int


def kept_images(settings: Settings) -> dict[str, KeptImage]:
    """The addresses of all images in the dataset and in pairs.clean, without what is withdrawn or
    taken down.

    The dataset keeps pairs that pairs.clean may have lost: to a retention that was set, or with a
    topic that was created anew. The address is the one that was crawled: what its redirects say
    counts too. Raises ReadError.
    """
    takedowns = build_takedowns(settings)
    newest = _in_dataset(settings, takedowns)
    with TopicReader(settings.kafka, [CLEAN]) as reader:
        records = (record for _, record, _ in reader)
        while chunk := list(islice(records, _CHUNK)):
            pairs = [each for each in chunk if isinstance(each, CleanPair)]
            gone = {pairs[at].pair_id for at in takedowns.rejections(pairs)}
            for each in chunk:
                name = each.pair_id if isinstance(each, CleanPair) else getattr(each, "key", None)
                newest.pop(name or "", None)
                if isinstance(each, CleanPair) and each.pair_id not in gone:
                    _note(each, newest)
    counts = Counter(url for url, _ in newest.values())
    return {url: KeptImage(page, counts[url]) for url, page in newest.values()}


def _in_dataset(settings: Settings, takedowns: TakedownList) -> Addresses:
    """The newest version of each pair in the shards' tables. A damaged table is told and left out.

    Raises Retry.
    """
    objects, prefix = open_store(settings.store), settings.sink.prefix
    data, newest, versions = DataObjects(objects, prefix), Addresses(), dict[str, int]()
    for manifest in live(read_manifests(objects, prefix)):
        try:
            table = data.read(manifest, "parquet")
        except DamagedError as error:
            _log.warning("%s; nobody is asked about its pairs", error)
            continue
        rows = read_parquet(table, [*VERSION_COLUMNS, *RULE_COLUMNS]).to_pylist()
        later = [row for row in rows if row["version"] >= versions.get(row["pair_id"], 0)]
        pairs = [_pair(row) for row in later]
        gone = takedowns.rejections(pairs)
        for at, pair in enumerate(pairs):
            versions[pair.pair_id] = later[at]["version"]
            newest.pop(pair.pair_id, None)
            if at not in gone:
                _note(pair, newest)
    return newest


def _pair(row: dict[str, Any]) -> CleanPair:
    """Return a pair with no more than a takedown looks at, of a row with `RULE_COLUMNS`."""
    names = ("sha256", "original_sha256", "image_url", "crawled_url", "page_url")
    sha256, original, url, crawled, page = (row[name] for name in names)
    blob = _BLOB.model_copy(update={"sha256": sha256})
    fields = {"blob": blob, "original_sha256": original, "url": url, "crawled_url": crawled}
    image = _IMAGE.model_copy(update=fields)
    sources = [each["source"] for each in row.get("captions") or () if each["source"]]
    captions = tuple(
        Caption.model_construct(source=TextSource.model_construct(**source)) for source in sources
    )
    fields = {"pair_id": row["pair_id"], "page_url": page, "image": image, "captions": captions}
    return _PAIR.model_copy(update=fields)


def _note(pair: CleanPair, newest: Addresses) -> None:
    url = crawled_url(pair) or image_url(pair)
    if url is not None:
        newest[pair.pair_id] = (url, pair.page_url)


class RecheckReport:
    """A file of `Asked` lines. A later run with it asks only what it does not have yet."""

    def __init__(self, path: Path) -> None:
        """Raises UserError on a file that is something else."""
        self._path = path
        self._lock = threading.Lock()
        self.lines: dict[str, Asked] = {}
        whole = 0
        for number, line in enumerate(path.read_bytes().splitlines(True) if path.exists() else ()):
            try:
                asked = Asked.model_validate_json(line)
            except ValidationError as error:
                if not line.endswith(b"\n"):
                    break  # a run was killed while it wrote this line
                told = f"{path} is no report of a recheck (line {number + 1}): name a new file"
                raise UserError(told) from error
            self.lines[asked.url] = asked
            whole += len(line)
        if path.exists():
            os.truncate(path, whole)

    def add(self, asked: Asked) -> None:
        """Write a line. Any thread may call it."""
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(asked.model_dump_json() + "\n")
            self.lines[asked.url] = asked

    def takedowns(self, found: Iterable[HostAnswer]) -> list[Takedown]:
        """A takedown of each address with one of these outcomes."""
        now, wanted = datetime.now(UTC), set(found)
        return [
            Takedown(
                kind=TakedownKind.URL,
                value=each.url,
                reason=f"recheck: {each.found.value}, {each.detail}"[:DETAIL_CHARS],
                requested_at=now,
            )
            for each in self.lines.values()
            if each.found in wanted
        ]


class Recheck:
    """Asks by the code that ingest uses: robots.txt, tdmrep.json, headers and the image's file."""

    def __init__(self, settings: Settings, rate: float) -> None:
        """`rate` is the most requests for images to one host each second."""
        policy = settings.ingest
        # A server that cannot be asked is not reached: it has said nothing.
        ignored = {*policy.ignore_opt_outs, UNREACHABLE, RSL_UNREAD}
        self._fetcher = Fetcher(policy.fetch)
        self._opt_outs = OptOuts(
            policy.model_copy(update={"ignore_opt_outs": tuple(ignored)}), self._fetcher.sites
        )
        self._decoder = DecodePool(policy.image)
        self._pause_s = 1 / rate

    def ask(
        self,
        images: Mapping[str, KeptImage],
        report: RecheckReport,
        stop: Stop,
        progress: Callable[[str], object],
    ) -> None:
        """Ask about each image that the report does not have, one host's images one by one."""
        hosts: dict[str, deque[str]] = {}
        for url in images:
            if url not in report.lines:
                hosts.setdefault(server_of(url) or "", deque()).append(url)

        def host(urls: deque[str]) -> None:
            while urls and not stop.is_set():
                url = urls.popleft()
                began = time.monotonic()
                found, detail = self._found(url, images[url].page_url, stop)
                if stop.is_set() and found is HostAnswer.NOT_REACHED:
                    return
                now = datetime.now(UTC)
                report.add(
                    Asked(
                        url=url,
                        found=found,
                        detail=detail[:DETAIL_CHARS],
                        pairs=images[url].pairs,
                        asked_at=now,
                    )
                )
                progress(f"{len(report.lines)} of {len(images)} images asked")
                if urls:
                    stop.wait(max(0.0, self._pause_s - (time.monotonic() - began)))

        with ThreadPoolExecutor(_HOSTS, "recheck") as threads:
            list(threads.map(host, hosts.values()))

    def close(self) -> None:
        """End the decoding processes and open connections."""
        self._fetcher.close()
        self._decoder.close()

    def _found(self, url: str, page_url: str | None, stop: Stop) -> tuple[HostAnswer, str]:
        waited = 0.0
        while True:
            try:
                self._refuse(url, page_url)
            except Later as later:
                waited += later.after_s
                if waited > _PATIENCE_S or stop.wait(later.after_s):
                    return HostAnswer.NOT_REACHED, str(later)
            except Reject as reject:
                if reject.reason is Reason.OPTED_OUT:
                    return HostAnswer.OPTED_OUT, reject.detail
                if reject.reason is Reason.FETCH_STATUS and _GONE.search(reject.detail):
                    return HostAnswer.GONE, reject.detail
                return HostAnswer.NOT_REACHED, str(reject)
            else:
                return HostAnswer.ALLOWED, ""

    def _refuse(self, url: str, page_url: str | None) -> None:
        self._opt_outs.refuse_known(url)
        fetched = self._fetcher.fetch(url, page_url)
        self._opt_outs.of_answers(fetched)
        self._opt_outs.refuse(self._decoder.decode(fetched.data).opt_out)
