"""The alt texts of refused copies, in Redis. They compete with the text of the kept image."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from kaption.schemas import Caption, CaptionKind, IngestedPair, Reason, TextSource
from kaption.schemas.pair import crawled_url, image_url
from kaption.workers.runtime.stage import Reject
from kaption.workers.stores.client import forget_keys, redis_errors
from kaption.workers.stores.footprint import Footprint, Forgetful, holder_of
from kaption.workers.stores.image_cache import TTL_S

if TYPE_CHECKING:
    import redis

TEXT_BYTES = 4096
"""A text that takes more bytes of JSON, with its source, is not remembered."""


class RefusedCopy(NamedTuple):
    """A pair that ingest rejects as a copy."""

    pair: IngestedPair
    rejection: Reject


class CopyTexts(Forgetful):
    """For each kept image, by the origin that holds its claims, the first `limit` different texts.

    One hash for each image that has copies, with a field for each text: its digest, the text as a
    caption in JSON, and, on a line of its own, the origin of the copy that brought it. A hash has
    at most `limit` * (`TEXT_BYTES` + 100) bytes and expires `TTL_S` seconds after its first text:
    the topics between the stages keep the kept pair as long.

    A near-duplicate holds the exact claim on its own bytes, so copies of it name its origin. A
    string for its origin therefore names the image that was kept.

    Where a text may come later than its pair, the kept pair itself is held too, so that a copy can
    send it through the stages once more.

    Every call may be repeated: a text that is there stays as it is. Every method raises Retry when
    Redis is down. Any thread may call them.
    """

    def __init__(self, client: redis.Redis, key_prefix: str, limit: int) -> None:
        self._client = client
        self._prefix = key_prefix
        self.limit = limit
        lua = files("kaption.workers.stores") / "copy_text.lua"
        self._add = client.register_script(lua.read_text("utf-8"))

    def keep(self, pairs: Sequence[IngestedPair]) -> None:
        """Hold kept pairs for `TTL_S` seconds. One round trip."""
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for pair in pairs:
                value = zlib.compress(pair.model_dump_json(exclude_defaults=True).encode())
                pipe.set(self._pair_key(pair.dedup.owner), value, ex=TTL_S)
            pipe.execute()

    def once_more(
        self, copies: Sequence[RefusedCopy], owners: Sequence[str | None]
    ) -> list[IngestedPair | None]:
        """For each copy the kept pair of the given owner, as it comes again because of the copy.

        None where no owner is given, the pair has this text or is not held any more. One round
        trip.
        """
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for owner in owners:
                pipe.get(self._pair_key(owner or ""))
            answers = cast("list[bytes | None]", pipe.execute())
        again: list[IngestedPair | None] = []
        for (copy, _), value in zip(copies, answers, strict=True):
            pair = value and IngestedPair.model_validate_json(zlib.decompress(value))
            if pair and _field(pair.clean_text) != _field(copy.clean_text):
                again.append(pair.model_copy(update={"brought_by": _caption(copy).source}))
            else:
                again.append(None)
        return again

    def remember(self, copies: Sequence[RefusedCopy]) -> list[str | None]:
        """Add the texts of refused copies to those of the images kept. Three round trips.

        For each copy, returns the origin that holds the image, if the copy was the first to bring
        its text. A copy that is remembered again gives the same answer.
        """
        named = [(pair, rejection, holder_of(rejection)) for pair, rejection in copies]
        known = [(pair, rejection, holder) for pair, rejection, holder in named if holder]
        if not known or not self.limit:
            return [None] * len(copies)
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for pair, rejection, holder in known:
                if rejection.reason is Reason.NEAR_DUPLICATE:
                    pipe.set(self._kept_key(pair.dedup.owner), holder, ex=TTL_S)
            pipe.execute()
        owners = iter(self._kept([holder for _, _, holder in known]))
        kept = [next(owners) if holder else None for _, _, holder in named]
        added: list[str | None] = []
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for (pair, _), owner in zip(copies, kept, strict=True):
                value = _caption(pair).model_dump_json(exclude_defaults=True).encode()
                usable = bool(pair.clean_text.strip()) and len(value) <= TEXT_BYTES
                added.append(owner if usable else None)
                if owner and usable:
                    self._add(
                        keys=[self._key(owner)],
                        args=[
                            *(_field(pair.clean_text), value, self.limit, TTL_S),
                            pair.dedup.owner,
                        ],
                        client=pipe,
                    )
            first = iter(pipe.execute())
        return [owner if owner and next(first) else None for owner in added]

    def get(self, owners: Sequence[str]) -> list[tuple[Caption, ...]]:
        """The texts of the images that these origins hold. One round trip."""
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for owner in owners:
                pipe.hgetall(self._key(owner))
            answers = cast("list[dict[bytes, bytes]]", pipe.execute())
        # By digest, so that the order does not depend on Redis.
        return [tuple(_read(found[field]) for field in sorted(found)) for found in answers]

    def forget(self, footprints: Sequence[Footprint], *, dry_run: bool = False) -> int:
        """Remove the texts of the owners' images, and those that the refused copies brought."""
        copies = [(each.copy_of, each.pair_id) for each in footprints if each.copy_of is not None]
        kept = self._kept([holder for holder, _ in copies])
        gone: dict[str, set[str | None]] = {owner: set() for owner in kept}
        for owner, (_, pair_id) in zip(kept, copies, strict=True):
            gone[owner].add(pair_id)
        whole = {each.owner for each in footprints if each.owner is not None}
        places = sorted(whole | gone.keys())
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for owner in places:
                pipe.hgetall(self._key(owner))
            answers = cast("list[dict[bytes, bytes]]", pipe.execute())
            found = 0
            for owner, fields in zip(places, answers, strict=True):
                for field, value in fields.items():
                    source = _read(value).source
                    if owner in whole or (source and source.pair_id in gone[owner]):
                        found += 1
                        pipe.hdel(self._key(owner), cast(Any, field))
            pairs = [self._pair_key(owner) for owner in sorted(whole)]
            if not dry_run:
                pipe.execute()
        return found + forget_keys(self._client, pairs, dry_run=dry_run)

    def _kept(self, holders: Sequence[str]) -> list[str]:
        """For each holder of a claim the origin of the image that was kept. One round trip."""
        if not holders:
            return []
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for holder in holders:
                # The name must outlive the texts that were added by it, for takedowns.
                pipe.getex(self._kept_key(holder), ex=TTL_S)
            answers = cast("list[bytes | None]", pipe.execute())
        return [
            holder if kept is None else kept.decode()
            for holder, kept in zip(holders, answers, strict=True)
        ]

    def _key(self, owner: str) -> str:
        return f"{self._prefix}copies:{owner}"

    def _pair_key(self, owner: str) -> str:
        return f"{self._prefix}kept-pair:{owner}"

    def _kept_key(self, origin: str) -> str:
        return f"{self._prefix}copy-of:{origin}"


def _caption(pair: IngestedPair) -> Caption:
    source = TextSource(
        pair_id=pair.pair_id,
        source=pair.source,
        page_url=pair.page_url,
        image_url=image_url(pair),
        crawled_url=crawled_url(pair),
        language=pair.detected_language or pair.language,
    )
    return Caption(
        text=pair.clean_text, kind=CaptionKind.ORIGINAL, masked=pair.masked, source=source
    )


def _read(value: bytes) -> Caption:
    return Caption.model_validate_json(value.partition(b"\n")[0])


def _field(text: str) -> bytes:
    data = " ".join(text.casefold().split()).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=16).digest()
