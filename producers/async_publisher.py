"""The publisher for a crawler that runs an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from kaption.connections.settings import KafkaConnection
from kaption.producers.errors import ClosedError, DeliveryError, PublishError
from kaption.producers.publisher import Publisher, PublisherOptions
from kaption.schemas import ImageSource, RawPair

T = TypeVar("T")


class AsyncPublisher:
    """A Publisher whose methods are awaited; it works in threads of its own.

    `async with` opens and closes it. Takes what Publisher takes, and raises what that raises.
    Publishes that are awaited one after the other keep their order; those of tasks that run at the
    same time have none, and up to `threads` of them are worked on at once (with a spool these
    share an fsync).

    Cancelling: a `publish` that is cancelled happens whole or not at all, and may be repeated, for
    the pair_id is the same. Failures that a cancelled call would have reported are reported by the
    next `flush`. Closing is not cut short, because its report would be lost: a cancellation waits
    for it, within Publisher's time-outs, and then goes on.
    """

    def __init__(
        self, connection: KafkaConnection, *, threads: int = 8, **options: Unpack[PublisherOptions]
    ) -> None:
        self._open = partial(Publisher, connection, **options)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="kaption-publish")
        self._publisher: Publisher | None = None
        self._closed = False
        self._left: list[Future[Any]] = []
        """Calls whose caller was cancelled; what they raise is still to be reported."""

    @overload
    async def publish(self, pair: RawPair, /) -> str: ...

    @overload
    async def publish(
        self, /, *, image: bytes | Path | str | ImageSource, text: str, **fields: Any
    ) -> str: ...

    async def publish(self, pair: RawPair | None = None, /, **fields: Any) -> str:
        """As `Publisher.publish`."""
        if pair is not None:
            return await self._call(partial(self._opened.publish, pair))
        return await self._call(partial(self._opened.publish, **fields))

    async def publish_bytes(
        self, value: bytes, key: bytes | None = None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """As `Publisher.publish_bytes`."""
        await self._call(partial(self._opened.publish_bytes, value, key, headers))

    async def flush(self) -> None:
        """As `Publisher.flush`; failures that a cancelled call did not report come with them."""
        await self._finish(self._opened.flush)

    async def close(self) -> None:
        """As `Publisher.close`."""
        if self._publisher is None or self._closed:
            return
        self._publisher.check()
        closing = asyncio.ensure_future(self._finish(self._publisher.close))
        cancelled: asyncio.CancelledError | None = None
        while not closing.done():
            try:
                await asyncio.wait([closing])
            except asyncio.CancelledError as error:
                cancelled = error
        self._closed = True
        self._pool.shutdown(wait=False)
        failed = closing.exception()
        if cancelled is not None:
            if failed is not None:
                cancelled.add_note(str(failed))
            raise cancelled
        closing.result()

    async def __aenter__(self) -> Self:
        if self._publisher is not None:
            self._publisher.check()
        opening = self._pool.submit(self._open)
        try:
            self._publisher = await asyncio.wrap_future(opening)
        except BaseException:
            opening.add_done_callback(_close_unused)
            self._pool.shutdown(wait=False)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.close()
        except PublishError as failed:
            if error is None:
                raise
            # The first error is the one to see.
            error.add_note(str(failed))

    @property
    def _opened(self) -> Publisher:
        if self._publisher is None:
            raise ClosedError("open the AsyncPublisher first: async with AsyncPublisher(...) as p")
        # Before the pool is asked: in a forked child it has no threads, and would wait for ever.
        self._publisher.check()
        return self._publisher

    async def _call(self, call: Callable[[], T]) -> T:
        try:
            future = self._pool.submit(call)
        except RuntimeError as error:
            raise ClosedError("this AsyncPublisher is closed: make another one") from error
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            self._left.append(future)
            raise

    async def _finish(self, finish: Callable[[], None]) -> None:
        left, self._left = self._left, []
        try:
            await self._call(partial(_finish, finish, left))
        except asyncio.CancelledError:
            # It may not even have begun.
            self._left += left
            raise


def _finish(finish: Callable[[], None], left: Sequence[Future[Any]]) -> None:
    """`finish` behind the calls in `left`, and raise what it raises together with theirs."""
    begun = [call for call in left if not call.cancelled()]
    # First, for what they still publish is to be finished too.
    wait(begun)
    reports = [error for call in begun if isinstance(error := call.exception(), DeliveryError)]
    try:
        finish()
    except DeliveryError as error:
        if not reports:
            raise
        reports.append(error)
    failures = {id(failure): failure for error in reports for failure in error.failures}
    if failures:
        raise DeliveryError(list(failures.values()))


def _close_unused(opening: Future[Publisher]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
