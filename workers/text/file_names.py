"""Removes file names from alt texts: the name that a camera gave says nothing about the image."""

from __future__ import annotations

import re

_EXTENSION = re.compile(
    r"\.(?:jpe?g|png|gif|webp|avif|bmp|tiff?|svg|heic|heif|ico|jfif|psd|raw|cr2|nef|pdf|mp4)$", re.I
)
_COUNTER = r"[\s_.()@x\d:-]"
_CAMERA = (
    r"_?img|_?dsc|dscn|dscf|_?dsf|imgp|image|picture|pic|photo|foto|bild|imagen|gopr|mvi|pxl|cimg|"
    r"sam|kimg|hpim|sdc|vid|wp|fb_img|scan|received|snapchat|download|thumb(?:nail)?|banner|slide|"
    r"hero|icon|logo|header|file|unnamed|untitled(?: design)?|unbenannt|"
    r"screen[\s_-]?shot|bildschirmfoto|capture d.[ée]cran|captura de pantalla|"
    r"whats[\s_-]?app[\s_-]?image|inbound|signal|telegram|lrm_export"
)
_NAME = re.compile(
    rf"(?:{_CAMERA})(?:{_COUNTER}|at|of|am|pm|cop(?:y|ie)|edit(?:ed)?|final|small|large|scaled|e)*",
    re.I,
)
_HAS_COUNTER = re.compile(r"[\d_]")
_UNTITLED = re.compile(r"(?:untitled|unnamed|unbenannt|sans titre|sin t[ií]tulo)[\s\d()-]*", re.I)
_HASH = re.compile(
    r"(?=\S*\d)(?:[0-9a-f]{12,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|"
    r"(?=\S*[a-z])(?=\S*[A-Z])[A-Za-z0-9]{20,})",
)
_NUMBER = re.compile(r"[\W\d_]*\d[\W\d_]*|P[A-Z]?\d{6,}|\d{3}_\d{4}")
# File names inside a longer text: only forms that are no words of a sentence.
_TOKEN = re.compile(
    r"(?<!\S)[\[(]?(?:_?IMG|_?DSC|DSCN|DSCF|IMGP|GOPR|MVI|PXL|CIMG)[_-]?\d{3,}[\w-]*(?:\.\w{3,4})?[\])]?(?!\w)"
    r"|(?<!\S)[\w%.-]+\.(?:jpe?g|png|gif|webp|avif|heic)(?!\w)",
    re.I,
)


def strip_file_names(text: str) -> str:
    """Remove file names; the result is empty for a text that is only one, a hash or a number.

    A file name with spaces in it loses only its ending: "A red vase.jpg" becomes "A red vase".
    """
    stem = _EXTENSION.sub("", text)
    if stem != text and not any(c.isspace() for c in stem):
        return ""
    if _is_name(stem):
        return ""
    if stem != text and len(stem.split()) > 2:
        text = stem
    return _TOKEN.sub(" ", text)


def _is_name(stem: str) -> bool:
    if _UNTITLED.fullmatch(stem) or _HASH.fullmatch(stem) or _NUMBER.fullmatch(stem):
        return True
    return bool(_NAME.fullmatch(stem) and _HAS_COUNTER.search(stem))
