"""Errors of servers and settings, split by what the caller should do."""

from __future__ import annotations

from types import UnionType


class Fault(Exception):
    """Something could not be done: the class says what to do next, the text says why in one line.

    Servers and libraries write line breaks into their own messages, which such a text repeats.
    """

    def __init__(self, why: str = "") -> None:
        super().__init__(" ".join(why.split()))


class Retry(Fault):
    """A server is down or busy: wait and call again, for as long as it takes; drop nothing.

    `after_s` is the server's hint how long to wait (Retry-After), in seconds.
    """

    def __init__(self, why: str, after_s: float | None = None) -> None:
        super().__init__(why)
        self.after_s = after_s


class Fatal(Fault):
    """The process cannot work (wrong model, bad settings): stop with a non-zero exit."""


def must_be(value: object, kinds: type | UnionType, name: str, write: str) -> None:
    """Raise TypeError unless the argument `name` is of these kinds; `write` is what to write.

    The value is not shown: it may hold a password.
    """
    if not isinstance(value, kinds):
        given = "the class itself" if isinstance(value, type) else type(value).__name__
        raise TypeError(f"{name} must be {write}, not {given}")
