"""Errors of what stands outside a process, split by what the caller should do."""

from __future__ import annotations


class Fault(Exception):
    """Something could not be done; its class says what to do next, its text says why."""


class Retry(Fault):
    """Something outside is down or busy: wait and call again. Nothing is dropped, however long.

    `after_s` is a hint from the other side (Retry-After), in seconds.
    """

    def __init__(self, why: str, after_s: float | None = None) -> None:
        super().__init__(why)
        self.after_s = after_s


class Fatal(Fault):
    """It cannot work like this (wrong model, bad settings): stop with a non-zero exit."""
