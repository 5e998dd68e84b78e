"""Any valid record of the contract, for property tests."""

from datetime import UTC, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from kaption.schemas import (
    Audit,
    AuditState,
    BlobRef,
    Box,
    Caption,
    CaptionedPair,
    CaptionKind,
    CheckResult,
    CleanPair,
    DeadLetter,
    DedupInfo,
    DetectedObject,
    ImageRef,
    ImageSource,
    IngestedPair,
    Manifest,
    OcrText,
    OptOutSignal,
    OriginalHeader,
    Provenance,
    RawPair,
    Reason,
    RejectedPair,
    Route,
    ScoredPair,
    ShardObject,
    StageTrace,
    Tag,
    Takedown,
    TakedownKind,
    Versioned,
)
from kaption.schemas.limits import DETAIL_CHARS, LIST_ITEMS, NAME_CHARS, TEXT_CHARS, URL_CHARS


def strings(limit: int, least: int = 0) -> st.SearchStrategy[str]:
    """Short ones of any characters, and some of exactly the greatest length."""
    longest = st.characters(codec="utf-8").map(lambda character: character * limit)
    return st.one_of(
        st.text(min_size=least, max_size=12),
        st.text(min_size=least, max_size=12),
        st.sampled_from(
            ["a\x00b", "\u202eabc", "e\u0301", "👩‍👩‍👧", '"\\\n', "\U0001d518", "\u2028"]
        ),
        longest,
    )


def tuples(items: st.SearchStrategy[Any], limit: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, max_size=limit).map(tuple)


texts = strings(TEXT_CHARS)
names = strings(NAME_CHARS, least=1)
urls = strings(URL_CHARS, least=1)
details = strings(DETAIL_CHARS)
hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
languages = st.sampled_from(["en", "pt-BR", "zh-Hant-TW", "tlh", "de-CH-1996"])
fractions = st.floats(0, 1)
scores = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 2**63 - 1)
sizes = st.integers(1, 2**31)
offsets = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(
    # Wire offsets are in minutes.
    lambda delta: timezone(timedelta(minutes=delta // timedelta(minutes=1)))
)
times = st.datetimes(timezones=st.just(UTC) | offsets)
maybe = st.none()

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | scores | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
extras = st.dictionaries(st.text(max_size=8), json_values, max_size=5).filter(
    lambda extra: len(repr(extra)) < 3000
)

blobs = st.builds(BlobRef, sha256=hashes, bytes=counts, media_type=names)
sources = st.one_of(
    st.builds(ImageSource, url=urls),
    st.builds(ImageSource, inline=st.binary(max_size=100)),
    st.builds(ImageSource, blob=blobs),
)
boxes = st.builds(Box, left=fractions, top=fractions, right=fractions, bottom=fractions)
images = st.builds(
    ImageRef,
    blob=blobs,
    width=sizes,
    height=sizes,
    original_sha256=hashes,
    original_width=sizes,
    original_height=sizes,
    original_bytes=sizes,
    original_format=names,
    url=maybe | urls,
    perceptual_hash=maybe | st.just("simhash:00ff00ff00ff00ff"),
)
captions = st.builds(
    Caption,
    text=texts,
    kind=st.sampled_from(CaptionKind),
    model=maybe | names,
    revision=maybe | names,
    prompt_id=maybe | names,
    score=maybe | scores,
    window_scores=tuples(scores, LIST_ITEMS),
    fitted_text=maybe | texts,
    checks=tuples(
        st.builds(
            CheckResult, name=names, passed=st.booleans(), value=maybe | scores, detail=details
        )
    ),
)
traces = st.builds(
    StageTrace,
    stage=names,
    software=names,
    config_hash=names,
    finished_at=times,
    seconds=st.floats(0, 1e9),
    models=st.dictionaries(st.text(min_size=1, max_size=8), names, max_size=3),
    preprocessing_id=maybe | names,
)
provenances = st.builds(Provenance, stages=tuples(traces))
dedups = st.builds(
    DedupInfo,
    owner=names,
    text_uses=maybe | sizes,
    semantic_neighbour=maybe | names,
    semantic_similarity=maybe | scores,
)
audits = st.builds(
    Audit, state=st.sampled_from(AuditState), by=maybe | names, at=maybe | times, note=details
)

_pair: dict[str, st.SearchStrategy[Any]] = {
    "pair_id": names,
    "text": texts,
    "page_url": maybe | urls,
    "source": maybe | names,
    "fetched_at": maybe | times,
    "language": maybe | languages,
    "tags": tuples(st.builds(Tag, name=names, confidence=maybe | fractions)),
    "ocr": tuples(
        st.builds(OcrText, text=texts, confidence=maybe | fractions, box=maybe | boxes), 2
    ),
    "objects": tuples(
        st.builds(
            DetectedObject,
            label=names,
            confidence=maybe | fractions,
            box=maybe | boxes,
            attributes=tuples(names),
        )
    ),
    "licence": maybe | names,
    "opt_out": tuples(st.builds(OptOutSignal, kind=names, value=texts), 2),
    "extra": extras,
}
_ingested = _pair | {
    "image": images,
    "clean_text": texts,
    "text_notes": tuples(names),
    "detected_language": maybe | languages,
    "language_confidence": maybe | fractions,
    "dedup": dedups,
    "provenance": provenances,
}
_scored = _ingested | {"original": maybe | captions, "route": st.sampled_from(Route)}

raw_pairs = st.builds(RawPair, image=sources, **_pair)
_originals = maybe | st.binary(max_size=60)

RECORDS: dict[type[Versioned], st.SearchStrategy[Any]] = {
    RawPair: raw_pairs,
    IngestedPair: st.builds(IngestedPair, **_ingested),
    ScoredPair: st.builds(ScoredPair, **_scored),
    CaptionedPair: st.builds(CaptionedPair, candidates=tuples(captions), **_scored),
    CleanPair: st.builds(
        CleanPair,
        image=images,
        captions=st.lists(captions, min_size=1, max_size=3).map(tuple),
        clean_text=texts,
        original_score=maybe | scores,
        detected_language=maybe | languages,
        dedup=dedups,
        provenance=provenances,
        audit=audits,
        version=sizes,
        **_pair,
    ),
    RejectedPair: st.builds(
        RejectedPair,
        pair_id=names,
        stage=names,
        reason=st.sampled_from(Reason),
        detail=details,
        rejected_at=times,
        record_schema=names,
        record=raw_pairs.map(lambda pair: pair.model_dump(mode="json", exclude_defaults=True)),
    ),
    DeadLetter: st.builds(
        DeadLetter,
        topic=names,
        partition=counts,
        offset=counts,
        timestamp_ms=st.integers(-1, 2**62),
        key=_originals,
        value=_originals,
        headers=tuples(st.builds(OriginalHeader, key=texts, value=_originals)),
        stage=names,
        error=details,
        attempts=sizes,
        died_at=times,
    ),
    Manifest: st.builds(
        Manifest,
        topic=names,
        partition=counts,
        start=counts,
        end=sizes,
        pairs=counts,
        writer=names,
        created_at=times,
        objects=tuples(
            st.builds(
                ShardObject,
                key=strings(1024, least=1),
                format=st.sampled_from(["webdataset", "parquet"]),
                bytes=counts,
                sha256=hashes,
            )
        ),
        generation=counts,
        parts=tuples(counts),
    ),
    Takedown: st.builds(
        Takedown,
        kind=st.sampled_from(TakedownKind),
        value=strings(8192, least=1),
        reason=details,
        requested_at=times,
        picture_of=maybe | names,
    ),
}
"""A strategy for every record that travels."""
