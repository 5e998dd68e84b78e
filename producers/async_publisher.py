"""The publisher for a crawler that runs an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar, overload

from kaption.connections.settings import KafkaConnection, StoreConnection
from kaption.producers.errors import ClosedError, DeliveryError, PublishError
from kaption.producers.options import PublisherOptions
from kaption.producers.publisher import Publisher
from kaption.schemas import ImageSource, RawPair, Topic
from kaption.schemas.topics import RAW

T = TypeVar("T")


class AsyncPublisher:
    """A Publisher with awaitable methods, which run in threads of its own.

    `async with` opens and closes it. It takes what Publisher takes, raises what Publisher raises,
    and works on up to `threads` calls at once. Publishes that are awaited one after the other keep
    their order; those of concurrent tasks have none.

    Cancelling: a cancelled `publish` happens whole or not at all. Repeating it is safe, because the
    pair_id is the same. The next `flush` reports the failures that a cancelled call would have
    reported. A cancelled `close` finishes first, within Publisher's time-outs, so that its report
    is not lost.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        *,
        topic: Topic = RAW,
        store: StoreConnection | None = None,
        spool: Path | str | None = None,
        options: PublisherOptions | None = None,
        threads: int = 8,
    ) -> None:
        self._open = partial(
            Publisher, connection, topic=topic, store=store, spool=spool, options=options
        )
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="kaption-publish")
        self._publisher: Publisher | None = None
        self._closed = False
        self._left: list[Future[Any]] = []
        """Calls whose caller was cancelled; their failures are reported by the next `flush`."""

    @overload
    async def publish(self, pair: RawPair, /) -> str: ...

    @overload
    async def publish(
        self, /, *, image: bytes | Path | str | ImageSource, text: str, **fields: Any
    ) -> str: ...

    async def publish(self, pair: RawPair | None = None, /, **fields: Any) -> str:
        """Do what `Publisher.publish` does, without blocking the event loop."""
        if pair is not None:
            return await self._call(partial(self._opened.publish, pair))
        return await self._call(partial(self._opened.publish, **fields))

    async def publish_bytes(
        self, value: bytes, key: bytes | None = None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Do what `Publisher.publish_bytes` does, without blocking the event loop."""
        await self._call(partial(self._opened.publish_bytes, value, key, headers))

    async def flush(self) -> None:
        """Do what `Publisher.flush` does, and report the failures of cancelled calls too."""
        await self._finish(self._opened.flush)

    async def close(self) -> None:
        """Do what `Publisher.close` does, without blocking the event loop."""
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

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            await self.close()
        except PublishError as failed:
            if error is None:
                raise
            # The caller's own error matters more.
            error.add_note(str(failed))

    @property
    def _opened(self) -> Publisher:
        if self._publisher is None:
            raise ClosedError("open the AsyncPublisher first: async with AsyncPublisher(...) as p")
        # First, because in a forked child the pool has no threads and its calls never end.
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
            # The call may not have begun.
            self._left += left
            raise


def _finish(finish: Callable[[], None], left: Sequence[Future[Any]]) -> None:
    """Call `finish` after the calls in `left`; raises one DeliveryError with all their failures."""
    begun = [call for call in left if not call.cancelled()]
    # First: `finish` must include what these calls publish.
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
