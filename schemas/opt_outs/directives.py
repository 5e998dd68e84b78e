"""Opt-outs in the headers of an answer, or in the meta elements of a page, as signals."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from kaption.schemas.evidence import OptOutSignal
from kaption.schemas.limits import URL_CHARS
from kaption.schemas.opt_outs.tdm_rep import Reservation, reservation
from kaption.schemas.plain_json import whole_characters

Fields = Iterable[tuple[str, str]]
"""Names in lower case, and values: headers, or meta elements."""

NO_TRAINING = "disallowaitraining"
DIRECTIVES = frozenset(
    {"noai", "noimageai", "noml", NO_TRAINING, "noindex", "noimageindex", "none"}
)
"""noai and noimageai: DeviantArt 2022; noml: Mojeek; disallowaitraining: Microsoft's draft
draft-canel-robots-ai-control; the others: robots meta, as Google reads it.

`none` stands for noindex and nofollow.
"""
OWN_AGENT = "kaption"
"""The name under which ingest fetches images."""
PREFERENCES = {"content-usage": "content_usage", "content-signal": "content_signal"}
"""Names of fields with preferences (IETF AIPREF, Cloudflare), and the kinds of their signals."""
# Servers and pages write X_Robots_Tag, X-Robot-Tag, X-Robots, TDMReservation, tdm:reservation,
# X-Content-Usage and Content-Signals, too.
_SPELLINGS = {
    name.removeprefix("x-").replace("-", ""): name
    for name in ("x-robots-tag", "tdm-reservation", "tdm-policy", *PREFERENCES)
} | {"robottag": "x-robots-tag", "xrobot": "x-robots-tag"}
# Training first: it decides over categories that include more than training. By letters alone.
_CATEGORIES = (
    frozenset(
        ["trainai", "traingenai", "aitrain", "aitraining", "train", "training", "ai", "genai"]
    ),
    frozenset({"tdm", "bots", "all"}),
)
_NO = (
    "n no ?0 0 false off never deny denied disallow disallowed forbid forbidden prohibited opt-out"
)
# Names of whole fields: ai-train: no, and noai: 1. The other categories are common words.
_OWN_CATEGORIES = frozenset({"aitrain", "aitraining", "trainai", "traingenai"})
_OWN_DIRECTIVES = frozenset({"noai", "noimageai", "noml", "noaitraining", "notraining"})
_REFUSED = dict.fromkeys(_NO.split(), True)
_REFUSED |= dict.fromkeys(("y", "yes", "?1", "1", "true", "on", "allow", "allowed"), False)
_RESERVATION = ("tdm-reservation", "tdm-policy")
_VALUE_CHARS = 1_000
# Directives that take a value: what stands before their colon is no crawler's name.
_VALUED = frozenset({"max-snippet", "max-image-preview", "max-video-preview", "unavailable_after"})
_OTHERS = frozenset({"all", "index", "follow", "nofollow", "noarchive", "nocache", "nosnippet"})
_OTHERS |= {"notranslate", "indexifembedded"}
# Owners write directives in quotes or brackets, in two words, with other separators, and with a
# value. A slash stands before the version of a crawler, too.
_WRAPPED = re.compile(
    r"[\"'`\u2018-\u201f\u00ab\u00bb\[\](){}<>\\!\ufeff]|\.(?=\s|$)|[|+&]|/(?=\s*no)"
)
_PARTED_WORD = re.compile(r"\bno[-_ ]*(?:(image)[-_ ]*)?(ai|ml|index)\b")
_PARTED_WORDS = re.compile(r"\b(?:disallow|no)[-_ ]*(?:(?:gen)?(?:ai|ml)[-_ ]*)?train(?:ing)?\b")
_AFFIRMED = re.compile(
    r"\b(no(?:ai|imageai|ml|index|imageindex))\s*[=:]\s*(?:1\b|true\b|y\b|yes\b|on\b|\*)"
)
_AGENT = re.compile(r"[a-z*][a-z0-9_.-]*")
_EVERYBODY = frozenset({"*", "robots", "robot", "bots", "all"})


def product_token(user_agent: str) -> str:
    """The crawler's name in a User-Agent header, also behind ``Mozilla/5.0 (compatible;``."""
    found = re.match(r"(?:Mozilla/[^;]*compatible;)?\s*([\w.-]+)", user_agent, re.IGNORECASE)
    return found[1].lower() if found else OWN_AGENT


def named(agents: Iterable[str] = ()) -> frozenset[str]:
    """The names that address us: everybody's, ours, and those in `agents`."""
    return _EVERYBODY | {OWN_AGENT} | {name.strip().lower() for name in agents}


def signal(kind: str, value: str, source: str | None) -> OptOutSignal:
    """A signal of any text and address that strangers wrote, cut to their limits."""
    value = whole_characters(value.strip()[:_VALUE_CHARS])
    place = whole_characters(source[:URL_CHARS]) if source else None
    return OptOutSignal(kind=kind, value=value, source=place)


def header_signals(
    headers: Fields, ours: Collection[str], source: str | None = None
) -> Iterator[OptOutSignal]:
    """X-Robots-Tag, Content-Usage and Content-Signal of one answer. See `declared` for TDM."""
    headers = _spelled(headers)
    for name, value in headers:
        if refuses_by_name(name, value):
            yield signal(PREFERENCES["content-usage"], f"{name}: {value}".strip(" :"), source)
        if name == "x-robots-tag":
            # Some libraries join the headers of one name by line breaks.
            for line in value.splitlines():
                yield from robots_signals("x_robots_tag", line, "*", ours, source)
    yield from _preferences(headers, source)


def robots_signals(
    kind: str, text: str, agent: str, ours: Collection[str], source: str | None = None
) -> Iterator[OptOutSignal]:
    """One signal for each of our crawlers that is named, and one for all crawlers together."""
    by_agent: dict[str, list[str]] = {}
    text = _PARTED_WORDS.sub(NO_TRAINING, _WRAPPED.sub(" ", text.lower()))
    for part in re.split("[,;]", _AFFIRMED.sub(r"\1", _PARTED_WORD.sub(r"no\1\2", text))):
        name, found = _parted(part)
        # A name holds for all directives up to the next name.
        agent = name or agent
        found = [directive for directive in found if directive in DIRECTIVES]
        if found and agent in ours:
            by_agent.setdefault("" if agent in _EVERYBODY else agent, []).extend(found)
    for own, directives in by_agent.items():
        value = (f"{own}: " if own else "") + ", ".join(dict.fromkeys(directives))
        yield signal(kind, value, source)


def _preferences(fields: Fields, source: str | None) -> Iterator[OptOutSignal]:
    """A signal for each of `PREFERENCES` that refuses training, over all its occurrences."""
    said: dict[str, list[str]] = {}
    for name, value in fields:
        if name in PREFERENCES:
            said.setdefault(name, []).append(value.strip())
    for name, values in said.items():
        text = ", ".join(values)
        if refuses_training(text):
            yield signal(PREFERENCES[name], text, source)


def refuses_training(text: str) -> bool | None:
    """What preferences such as ``search=y, train-ai=n`` say; None if nothing about training.

    Of two contradicting values the stricter one counts (draft-ietf-aipref-attach).
    """
    said: dict[str, bool] = {}
    # A long row of blanks would take the pattern quadratic time.
    plain = " ".join(_WRAPPED.sub(" ", text.lower()).split())
    plain = re.sub(r" ?[=:] ?", "=", plain)
    for part in re.split(r"[,;\s]", plain):
        name, _, value = part.partition("=")
        name, refused = re.sub("[-_]", "", name), _REFUSED.get(value)
        if refused is not None:
            said[name] = refused or said.get(name, False)
    for names in _CATEGORIES:
        found = [said[name] for name in names if name in said]
        if found:
            return any(found)
    return None


def refuses_by_name(name: str, value: str) -> bool | None:
    """What a field says whose name is a use or a directive: ``ai-train: no``, ``noai``.

    None if it is another field.
    """
    letters = _letters(name)
    if letters in _OWN_DIRECTIVES:
        return not _REFUSED.get(value.strip().lower(), False)
    return refuses_training(f"{letters}={value}") if letters in _OWN_CATEGORIES else None


def declared(fields: Fields) -> Reservation | None:
    """What ``tdm-reservation`` and ``tdm-policy`` say; None if they say nothing valid.

    Of several values one that reserves counts.
    """
    fields = [(name, value) for name, value in _spelled(fields) if name in _RESERVATION]
    policy = next((value for name, value in fields if name == _RESERVATION[1]), None)
    values = [
        each for name, value in fields for each in value.split(",") if name != _RESERVATION[1]
    ]
    said = [found for each in values if (found := reservation(each, policy)) is not None]
    return max(said, key=lambda found: found.reserved, default=None)


def reservation_signals(
    said: Reservation | None, source: str | None = None
) -> Iterator[OptOutSignal]:
    """The signal ``tdm_reservation`` of a reservation: ``1``, and the policy's URL if given."""
    if said is not None and said.reserved:
        value = f"1 {said.policy}" if said.policy else "1"
        yield signal("tdm_reservation", value, source)


def _spelled(fields: Fields) -> list[tuple[str, str]]:
    return [(right_name(name), value) for name, value in fields]


def right_name(name: str) -> str:
    """The name, in lower case, of the field that is meant."""
    letters = _letters(name).removesuffix("s")
    return _SPELLINGS.get(letters) or _SPELLINGS.get(letters.removeprefix("x"), name)


def _letters(name: str) -> str:
    return re.sub("[-_: ]", "", name)


def _parted(part: str) -> tuple[str, list[str]]:
    """A crawler's name, or "" if the part has none, and the directives.

    The word before a colon is a name only if a known directive follows the colon. Otherwise an
    unknown directive with a value would count as a name and hide the directives behind it.
    """
    name, colon, rest = (each.strip() for each in part.partition(":"))
    if name in _VALUED:
        return "", rest.split()[1:]
    name = name.partition("/")[0]
    known = DIRECTIVES | _VALUED | _OTHERS
    is_name = colon and _AGENT.fullmatch(name) and re.split(r"[\s:]", rest)[0] in known
    return (name, rest.split()) if is_name else ("", part.split())
