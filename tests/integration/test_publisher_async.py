"""The publisher of an event loop: the loop runs on, and a cancelled call loses no report."""

import asyncio
from pathlib import Path

import pytest

from kaption.connections.settings import KafkaConnection
from kaption.producers import (
    AsyncPublisher,
    ClosedError,
    DeliveryError,
    PublisherOptions,
    PublishError,
)
from kaption.producers.identity import pair_id
from kaption.schemas import ImageSource
from kaption.workers.local import Tansu
from support.parts import serving
from support.publishing import URL, pair, published_pairs, with_topic


@pytest.fixture
def connection(tansu: Tansu, topic_prefix: str) -> KafkaConnection:
    return with_topic(tansu.bootstrap, topic_prefix)


@pytest.mark.parametrize("spooled", [False, True])
def test_tasks_publish_together(connection: KafkaConnection, tmp_path: Path, spooled: bool) -> None:
    async def crawl() -> list[str]:
        spool = tmp_path if spooled else None
        async with AsyncPublisher(connection, spool=spool) as publisher:
            return await asyncio.gather(
                *(publisher.publish(image=f"{URL}?{n}", text="t") for n in range(200))
            )

    ids = asyncio.run(crawl())

    assert ids == [pair_id(None, None, ImageSource(url=f"{URL}?{n}")) for n in range(200)]
    assert sorted(each.pair_id for each in published_pairs(connection)) == sorted(ids)


def test_what_is_awaited_in_turn_keeps_its_order(connection: KafkaConnection) -> None:
    async def crawl() -> None:
        async with AsyncPublisher(connection, options=PublisherOptions(linger_s=0)) as publisher:
            for version in range(50):
                await publisher.publish(pair(7, text=str(version)))
            await publisher.flush()

    asyncio.run(crawl())

    assert [each.text for each in published_pairs(connection)] == [str(n) for n in range(50)]


def test_a_publish_that_waits_does_not_hold_the_loop_and_can_be_cancelled(
    topic_prefix: str,
) -> None:
    async def crawl(server: Tansu, connection: KafkaConnection) -> None:
        async with AsyncPublisher(
            connection, options=PublisherOptions(buffer_bytes=1_500, max_block_s=60)
        ) as publisher:
            await publisher.publish(pair(0))
            await publisher.flush()
            server.freeze()
            await publisher.publish(pair(1))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await asyncio.gather(*(publisher.publish(pair(n)) for n in range(2, 20)))
            server.thaw()
            await publisher.publish(pair(20))

    with serving(Tansu()) as server:
        connection = with_topic(server.bootstrap, topic_prefix)
        asyncio.run(crawl(server, connection))

        found = [each.pair_id for each in published_pairs(connection)]
        assert {"pair-0", "pair-1", "pair-20"} <= set(found)
        assert len(found) == len(set(found))


def test_what_a_cancelled_flush_would_have_reported_comes_with_the_next(
    topic_prefix: str,
) -> None:
    async def crawl(server: Tansu, connection: KafkaConnection) -> DeliveryError:
        async with AsyncPublisher(
            connection, options=PublisherOptions(delivery_timeout_s=2)
        ) as publisher:
            await publisher.publish(pair(0))
            await publisher.flush()
            server.freeze()
            await publisher.publish(pair(1))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await publisher.flush()
            with pytest.raises(DeliveryError) as failed:
                await publisher.flush()
            server.thaw()
        return failed.value

    with serving(Tansu()) as server:
        connection = with_topic(server.bootstrap, topic_prefix)
        failed = asyncio.run(crawl(server, connection))

    assert [failure.message.key for failure in failed.failures] == [b"pair-1"]


def test_closing_is_not_cut_short(connection: KafkaConnection) -> None:
    async def crawl() -> None:
        async with AsyncPublisher(connection, options=PublisherOptions(linger_s=0.5)) as publisher:
            await asyncio.gather(*(publisher.publish(pair(n)) for n in range(20)))
            asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)  # type: ignore[union-attr]  # it runs in one

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(crawl())

    assert len(published_pairs(connection)) == 20


def test_before_and_after_it_is_open_it_says_so(connection: KafkaConnection) -> None:
    async def crawl() -> None:
        publisher = AsyncPublisher(connection)
        with pytest.raises(ClosedError, match="open the AsyncPublisher first"):
            await publisher.publish(pair(1))
        async with publisher:
            await publisher.publish(pair(1))
        with pytest.raises(ClosedError, match="make another one"):
            await publisher.publish(pair(2))

    asyncio.run(crawl())


def test_it_may_be_closed_twice(connection: KafkaConnection) -> None:
    async def crawl() -> None:
        async with AsyncPublisher(connection) as publisher:
            await publisher.publish(pair(1))
            await publisher.close()

    asyncio.run(crawl())

    assert [each.pair_id for each in published_pairs(connection)] == ["pair-1"]


def test_a_silent_address_is_an_error_that_names_it() -> None:
    async def crawl() -> None:
        async with AsyncPublisher(
            KafkaConnection(bootstrap="127.0.0.1:9"), options=PublisherOptions(connect_timeout_s=1)
        ):
            pass

    with pytest.raises(PublishError, match=r"no broker answers at 127\.0\.0\.1:9"):
        asyncio.run(crawl())
