"""What an object's name may be: the same in a folder and on S3."""

from __future__ import annotations

import re

_PART = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._=-]{1,200}"
_KEY = re.compile(f"{_PART}(?:/{_PART})*")
MAX_KEY_CHARS = 900
"""S3 allows 1,024 bytes, the store's own prefix included."""


def check_key(key: str) -> str:
    """The key itself. Raises ValueError where it is empty, absolute, climbs or has other signs."""
    if len(key) > MAX_KEY_CHARS or _KEY.fullmatch(key) is None:
        raise ValueError(
            f"not an object key: {key[:300]!r}; give a relative path of [A-Za-z0-9._=-], no . or .."
        )
    return key


def check_prefix(prefix: str) -> str:
    """The prefix itself: empty, or the beginning of a key. Raises ValueError."""
    if prefix:
        check_key(prefix.removesuffix("/") if prefix.endswith("/") else prefix)
    return prefix
