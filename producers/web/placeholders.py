"""Tells placeholders, icons and counters from images, by the names of their files."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from kaption.producers.web.signs import OTHER_FILE, word_set

_BLANK_HOST = re.compile(r"(?:^|\.)(?:placehold(?:er|it)?|dummyimage|fakeimg)\.", re.I)
_NO_IMAGE = re.compile(
    r"(?:^|[-_.])(?:no[-_]?(?:image|img|photo|pic|picture|thumb|cover|poster)s?(?![a-z])"
    r"|not[-_]?(?:found|avail)|coming[-_]?soon|1x1(?![0-9])|1px)|placeholder"
)
# Empty images that keep the place of 4:3 or 16:9.
_BLANK_FILE = re.compile(r"[0-9]{1,2}x[0-9]{1,2}\.(?:gif|png)|[a-z]\.gif")
_BLANK_WORDS = word_set("blank lazyload loader preloader spacer spinner")
# Each of these may also be the subject of an image: a pixel phone, a loading dock.
_DOUBTFUL_WORDS = word_set(
    """black clear dot dummy empty gray grey lazy loading none pix pixel px shim trans transparent
    white"""
)
_FILLING_WORDS = word_set(
    """a ajax animation background bar bg big circle default dots double gif icon image img large
    load medium page photo pic picture preload px ring rolling s small svg thumb w x"""
)
_COUNTER = re.compile(
    r"/(?:beacon|collect|counter|hit|impression|ping|pixel|stats?|tr|track(?:er|ing)?)"
    r"(?:\.(?:gif|php|aspx?))?$"
)
_ICON_PLACE = re.compile(r"(?:^|/)(?:emojis?|icons?|smileys?|smilies|sprites?|favicons?)/[^/]*$")
_ICON_FILE = re.compile(r"(?:^|[-_.])(?:favicon|icon|sprite|emoji)s?(?:[-_.]|$)")
_ICON_CLASS = re.compile(r"(?:^|\s)(?:\S*-)?(?:emoji|icon|smiley|smilies)(?=\s|$)", re.IGNORECASE)
# The sizes that servers and libraries write into file names.
_SIZE = re.compile(
    r"[-_@.]?(?:[0-9]{2,4}x[0-9]{0,4}|x[0-9]{2,4}|[0-9]{1,4}[wx]|[0-9]{2,4}px|scaled|small|medium"
    r"|large|thumb(?:nail)?|full|orig(?:inal)?|zoom|min|preview|lqip|blur)"
    r"(?=[-_@.]|$)"
)


def is_no_image(url: str) -> bool:
    """Whether a URL names another kind of file, an icon, a counter, or a missing image's place."""
    parts = urlsplit(url)
    path = unquote(parts.path).lower()
    folder, _, name = path.rpartition("/")
    stem, _, kind = name.rpartition(".") if "." in name else (name, "", "")
    if path in ("", "/") and not parts.query:
        return True
    if OTHER_FILE.search(path) or "placeholder" in folder.split("/"):
        return True
    if _BLANK_HOST.search(parts.hostname or "") or _NO_IMAGE.search(stem):
        return True
    if _BLANK_FILE.fullmatch(name) or _COUNTER.search(path):
        return True
    if kind not in ("jpg", "jpeg") and (_ICON_FILE.search(stem) or _ICON_PLACE.search(path)):
        return True
    words = _name_words(stem)
    known = _BLANK_WORDS | _DOUBTFUL_WORDS | _FILLING_WORDS
    blank = _BLANK_WORDS | (_DOUBTFUL_WORDS if kind == "gif" else frozenset())
    return bool(words & blank) and words <= known


def may_be_blank(url: str) -> bool:
    """Whether a file has a name that placeholders have, and images too."""
    stem = unquote(urlsplit(url).path).lower().rpartition("/")[2].partition(".")[0]
    words = _name_words(stem)
    return bool(words & _DOUBTFUL_WORDS) and words <= _DOUBTFUL_WORDS | _FILLING_WORDS


def is_icon_class(classes: str) -> bool:
    """Whether the classes of an element call it an icon."""
    return _ICON_CLASS.search(classes) is not None


def stem_of(url: str) -> str:
    """The file's name without extension and size: two sizes of one image have the same."""
    name = unquote(urlsplit(url).path).lower().rstrip("/").rpartition("/")[2]
    return _SIZE.sub("", name.partition(".")[0]).strip("-_@.")


def _name_words(stem: str) -> set[str]:
    return set(re.findall(r"[a-z]+", stem))
