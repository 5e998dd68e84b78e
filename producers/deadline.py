"""A deadline for calls that have none."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def within(timeout_s: float, call: Callable[[], T], what: str) -> T:
    """The result of `call`, or what it raises. Raises TimeoutError.

    It runs on a thread of its own, for kafka-python's waits in transactions can last for ever. A
    call that takes too long is left behind and may still do its work: what it works with must not
    be used again.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 - raised again by the caller
            errors.append(error)

    thread = Thread(target=run, name=what, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"{what} took longer than {timeout_s:g} s")
    return results[0]
