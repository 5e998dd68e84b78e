"""Signs by which a value on a page is taken for an image's address.

Scripts that load images lazily have invented hundreds of attribute names. So the value decides, and
the name only excludes: `data-hover-src` is another image, `data-fallback` a placeholder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from kaption.schemas.limits import URL_CHARS


def word_set(words: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(words.split())


# Attributes whose value is no address of the element's own image.
_OTHER_NAMES = word_set(
    """alt aria audio author avatar back badge blank brand caption category cite class cursor
    desc description error failed failure fallback flag flip ghost hash hover href icon id
    iframe json key label link loader loading logo marker mask name next overlay page permalink
    pin placeholder prev profile related role rollover script second share sizes slug social
    spinner srcdoc swap template text title type usemap user video widths"""
)
_LARGE_NAMES = word_set(
    "2x big full fullsize fullsrc highres hires huge large master max retina xl zoom"
)
_SMALL_NAMES = word_set("blur low lowres lowsrc lqip micro mini preview small thumb thumbnail tiny")
# Names that fit an address without a file extension, as many servers of images give.
_IMAGE_NAME = re.compile(
    "src|lazy|im(?:g|age)|photo|picture|orig|echo|delay|defer|bg|background|poster|thumb|hi-?res"
)
_IMAGE_HOST = re.compile(
    r"(?:https?:)?//(?:[^/?#]*[.-])?(?:cdn|img|images?|photos?|media)[0-9]*[.-]", re.I
)
_IMAGE_QUERY = re.compile(
    r"[?&/,](?:(?:w|h|width|height|wid|hei|dpr|quality|resize)[=_][0-9]"
    r"|(?:fm|format|f)[=_](?:jpe?g|png|webp|avif|auto))",
    re.IGNORECASE,
)
_BEGINS = re.compile(r"https?://[^/]|//[^/\s]|/[^/\s]|\.{1,2}/", re.IGNORECASE)
_QUOTED_URL = re.compile(r"https?%3A%2F%2F", re.IGNORECASE)
_BINDING = re.compile(r":|\[|@|v-|x-bind|bind")
_QUOTED = re.compile(r"\s*(['\"`])([^'\"`]*)\1\s*")
# In an image-set quotes are enough.
_CSS_URL = re.compile(
    r"url\(\s*(?:\"([^\"]*)\"|'([^']*)'|([^'\"()\s]*))\s*\)"
    r"|(?:image-set\(|[0-9]x\s*,|\)\s*,)\s*(?:\"([^\"]*)\"|'([^']*)')",
    re.IGNORECASE,
)
_GUID = re.compile(r"\{[0-9A-Fa-f-]{32,36}\}")
# JSON, and what templates of many languages and failed scripts leave.
_TEMPLATE = re.compile(
    r"""[{}<>"]|\[\[|\[object|(?:^|/)%+[a-z_.]{3,}%+(?:$|[/.])|\*\|\w+\|\*|(?:^|/)__\w+__|^[@$\#\[':]
    |(?:^|/)(?:undefined|null|nan)(?:$|[/?])|^(?:none|true|false|about:.*)$""",
    re.VERBOSE | re.IGNORECASE,
)
_QUOTED_TEMPLATE = re.compile(r"%7b(?:%7b|%25)|%5bobject", re.IGNORECASE)
_LIST = re.compile(r"\.(?:jpe?g|png|gif|webp|avif)\s*[,;|]\s*(?:https?:|/)", re.IGNORECASE)
_HOST = re.compile(r"(?:https?:)?//[^/?#]*", re.IGNORECASE)
_IMAGE_FILE = re.compile(r"\.(?:jpe?g|jfif|png|gif|webp|avif|bmp|tiff?)(?![a-z0-9])", re.IGNORECASE)
OTHER_FILE = re.compile(
    r"\.(?:svgz?|ico|cur|hei[cf]|jxl|jp2|psd|x?html?|m?js|css|json|xml|rss|txt|pdf|mp[34]|webm|mov"
    r"|m4v|ogv|m3u8|woff2?|zip)$",
    re.IGNORECASE,
)
"""Files that are no images, and images that ingest does not decode."""
# A wiki's page about a file, such as /wiki/File:Mug.jpg.
_FILE_PAGE = re.compile(r"/[^/:.]+:[^/]+$")


def names_another(name: str) -> bool:
    """Whether an attribute's name says that its value is no address of the element's own image."""
    return name.startswith("on") or bool(_words(name) & _OTHER_NAMES)


def size_named(name: str) -> float:
    """What an attribute's name says of the image's size: 2 for large, 0.5 for small, else 1."""
    words = _words(name.replace("-res", "res"))
    return 2.0 if words & _LARGE_NAMES else 0.5 if words & _SMALL_NAMES else 1.0


def attribute_address(name: str, value: str) -> str | None:
    """The image's address that any attribute but `src` holds, or None if it is something else."""
    if len(value) > URL_CHARS:
        return None
    value = value.strip()
    if _QUOTED_URL.match(value):
        value = unquote(value)
    begins = _BEGINS.match(value) is not None
    if _BINDING.match(name):
        # An expression, in which only a quoted text is an address: item.jpg is a property.
        quoted = _QUOTED.fullmatch(value)
        if quoted is None and not begins:
            return None
        value = quoted[2] if quoted else value
    if value[:4].lower() == "url(":
        value = next(css_urls(value), "")
    spaced = re.search(r"\s", value) is not None
    if not value or is_template(value) or _LIST.search(value) or (spaced and not begins):
        return None
    told = _IMAGE_NAME.search(name) is not None
    if is_image_file(value):
        return value if told or "/" in value else None
    if spaced or not (begins or (name.endswith("src") and "/" in value)):
        return None
    if OTHER_FILE.search(value.partition("?")[0]):
        return None
    return value if told or _IMAGE_HOST.match(value) or _IMAGE_QUERY.search(value) else None


def css_urls(value: str) -> Iterator[str]:
    """The addresses in a value of CSS."""
    for found in _CSS_URL.finditer(value):
        yield next(filter(None, found.groups()), "")


def is_template(value: str) -> bool:
    """Whether a value is JSON, or what a template or a script left instead of an address."""
    value = _GUID.sub("", value.strip())
    return bool(_TEMPLATE.search(value) or _QUOTED_TEMPLATE.search(value))


def is_image_file(value: str) -> bool:
    """Whether the path of an address names a file of an image."""
    path = unquote(_HOST.sub("", re.split("[?#]", value.strip(), maxsplit=1)[0], count=1))
    if OTHER_FILE.search(path) or _FILE_PAGE.search(path):
        return False
    return _IMAGE_FILE.search(path) is not None


def _words(name: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", name))
