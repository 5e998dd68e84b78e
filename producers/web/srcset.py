"""Reads a `srcset`: several addresses of one image, with their sizes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_ADDRESS = re.compile(r"[\s,]*(\S+)")
# Up to a comma that stands in no parentheses. What is opened and not closed goes on to the end.
_DESCRIPTORS = re.compile(r"(?:[^,(]|\([^)]*(?:\)|$))*,?")
_HEIGHT = r"0*[1-9][0-9]*h"
_SIZES = re.compile(
    rf"(?:{_HEIGHT} )?0*(?P<width>[1-9][0-9]{{0,6}})w(?: {_HEIGHT})?"
    r"|(?P<density>(?:[0-9]{1,3}(?:\.[0-9]{1,9})?|\.[0-9]{1,9})(?:[eE][+-]?[0-9])?)[xX]|"
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of the addresses of an image, as it is written, with what is known of its size."""

    address: str
    width: int = 0
    """In pixels; 0 if unknown."""
    density: float = 1.0
    """Pixels for each CSS pixel; 0.5 if it is called small."""


def srcset(text: str) -> Iterator[Candidate]:
    """The candidates, parsed as in the HTML standard: an address may hold commas.

    One whose sizes are no valid descriptors is left out, as browsers do.
    """
    at = 0
    while found := _ADDRESS.match(text, at):
        address, at = found[1], found.end()
        descriptors = ""
        if address.endswith(","):
            address = address.rstrip(",")
        elif after := _DESCRIPTORS.match(text, at):
            descriptors, at = after[0].removesuffix(","), after.end()
        if address and (sizes := _SIZES.fullmatch(" ".join(descriptors.split()))):
            yield Candidate(address, int(sizes["width"] or 0), float(sizes["density"] or 1))
