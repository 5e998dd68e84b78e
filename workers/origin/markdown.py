"""The summary for people: Markdown in the order of the Commission's template."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~&])")
_TO_FILL = "*To be filled in by the provider of the model.*"


def as_markdown(summary: dict[str, Any]) -> str:
    """The summary as `summary.summary` makes it."""
    return "\n".join(_lines(summary)) + "\n"


def escaped(text: object) -> str:
    """Text from the web as one line that Markdown shows as it is."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def _lines(of: dict[str, Any]) -> Iterable[str]:
    images, text, domains = of["images"], of["text"], of["domains"]
    months = [each["to"] for each in of["crawls"] if each["to"]]
    yield f"# Where the data set {escaped(of['dataset'])} comes from"
    yield f"\nLast update: {of['made_at']}. In the order of: {of['template']}.\n"
    yield from _doubts(of)
    yield from _asked("Version of the summary")
    yield "\n## 1. General information\n\n### 1.1 Provider identification\n"
    yield from _asked("Provider name and contact details", "Authorised representative")
    yield "\n### 1.2 Model identification\n"
    yield from _asked(
        "Versioned model names", "Model dependencies", "Date of placement on the market"
    )
    yield "\n### 1.3 Modalities, overall training data size and other characteristics\n"
    yield f"- Image: {of['pairs']:,} images, {images['bytes']:,} bytes ({images['range']})"
    yield (
        f"- Text: {text['captions']:,} captions, {text['characters']:,} characters "
        f"({text['range']}, at about 4 characters a token)"
    )
    yield "- Audio, video and others: none"
    yield f"- Latest date of data acquisition: {max(months, default='not known')}"
    yield from _asked("Types of content", "Whether the model is trained on newer data", "Others")
    yield ""
    yield from _table(images["media_types"], "media_type", "pairs", "bytes")
    yield "Linguistic characteristics, of the alt texts by detection:\n"
    yield from _table(text["languages"], "language", "captions", "characters")
    yield "## 2. List of data sources\n\n### 2.1 Publicly available datasets\n"
    yield from _asked("Whether crawls below are public datasets, with their links")
    yield "\n### 2.2 Private datasets obtained from third parties\n"
    yield from _asked(
        "2.2.1 Licensed by rightsholders or their representatives", "2.2.2 From other third parties"
    )
    yield "\n### 2.3 Data crawled and scraped from online sources\n"
    yield f"- Crawler names: `{of['fetcher']}` for images; those of the pages are the crawls below"
    yield "- Modalities: image, text"
    yield from _asked("Purposes of the crawlers", "Their behaviour", "Types of content and sources")
    yield "\nPeriods of collection:\n"
    yield from _table(of["crawls"], "crawl", "from", "to", "pairs", "bytes")
    yield (
        f"Most relevant domains: {len(domains['top']):,} of {domains['all']:,} "
        f"({domains['rule']}); {domains['pairs_without']:,} pairs have no address:\n"
    )
    yield from _table(domains["top"], "domain", "pairs", "bytes")
    yield "Licences, as the pages or crawlers name them:\n"
    yield from _table(of["licences"], "licence", "pairs", "bytes")
    yield "### 2.4 User data\n"
    yield from _asked("From interactions with the model", "From other services of the provider")
    yield "\n### 2.5 Synthetic data\n"
    yield "Modality: text. Who wrote the captions (`original`: the alt text; `human`: a person):\n"
    yield from _table(of["captions"], "kind", "model", "revision", "captions", "characters")
    yield "### 2.6 Other sources of data\n"
    yield from _asked("Sources that are none of these")
    yield "\n## 3. Data processing aspects\n"
    yield "### 3.1 Respect of reservation of rights from the text and data mining exception\n"
    yield from _opt_outs(of)
    yield from _asked("Signatory to the Code of Practice", "Measures before and during collection")
    yield "\n### 3.2 Removal of illegal content\n"
    yield f"{of['takedowns']:,} takedowns hold. State of the audit: {_sums(of['audit'])}."
    if of["rejected"] is not None:
        yield f"\nRejected pairs, until {of['rejected_until']}: {_sums(of['rejected'])}."
    yield ""
    yield from _asked("Other measures")
    yield "\n### 3.3 Other information (optional)\n"
    yield from _asked("Other information about the processing")


def _asked(*fields: str) -> Iterable[str]:
    """Fields of the template that no data set can answer."""
    for field in fields:
        yield f"- {field}: {_TO_FILL}"


def _doubts(of: dict[str, Any]) -> Iterable[str]:
    if of["partitions_not_exact"]:
        yield (
            f"> In {of['partitions_not_exact']} partitions, replaced versions and pairs taken down "
            "since the last compaction are counted, too.\n"
        )
    for fault in of["damaged"]:
        yield f"> Not counted: {escaped(fault)}\n"


def _opt_outs(of: dict[str, Any]) -> Iterable[str]:
    honoured, kept = of["opt_outs"]["honoured"], of["opt_outs"]["kept"]
    if honoured is None:
        yield "How many opt-outs were honoured is not known: pairs.rejected was not counted.\n"
    else:
        yield f"Honoured, by the kind of the signal (pairs left out): {_sums(honoured)}.\n"
    if kept:
        yield "Kept, because the settings ignore this kind:\n"
        yield from _table(kept, "kind", "pairs", "bytes")


def _sums(numbers: dict[str, int]) -> str:
    return ", ".join(f"{escaped(name)} {numbers[name]:,}" for name in sorted(numbers)) or "none"


def _table(rows: Sequence[dict[str, Any]], *columns: str) -> Iterable[str]:
    columns = (*columns, "share") if rows and "share" in rows[0] else columns
    yield f"| {' | '.join(name.replace('_', ' ') for name in columns)} |"
    yield "|---" * len(columns) + "|"
    for row in rows:
        yield f"| {' | '.join(_cell(name, row[name]) for name in columns)} |"
    yield ""


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "not known"
    if name == "share":
        return f"{value:.2%}"
    return f"{value:,}" if isinstance(value, int) else escaped(value)
