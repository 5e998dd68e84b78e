"""Lost commits, refused records, frozen brokers and rival runs: each record is there once."""

from collections import Counter
from collections.abc import Sequence
from threading import Lock
from threading import enumerate as all_threads
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.errors import KafkaError

from kaption.connections.kafka.clients import transactional_producer
from kaption.connections.kafka.messages import Message, Outgoing
from kaption.connections.kafka.transaction import BlockingTransactions, TransactionThread, Unknown
from kaption.connections.settings import KafkaConnection
from kaption.producers.errors import PublishError
from kaption.producers.feed.feed import Fed, Feed, FeedOptions
from kaption.schemas.limits import MIB
from kaption.schemas.topics import RAW
from support.engine import until
from support.feeding import Numbers, once, published
from support.publishing import with_topic
from tools.servers import ApacheKafka

pytestmark = pytest.mark.integration

ON_KAFKA = pytest.mark.parametrize("connection", ["apache_kafka"], indirect=True)


@ON_KAFKA
@pytest.mark.parametrize("arrives", [True, False], ids=["committed", "lost"])
def test_after_a_commit_without_an_answer_each_record_is_there_once(
    connection: KafkaConnection, arrives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a commit whose answer does not come, whether it arrives or not
    real = KafkaProducer.commit_transaction
    commits = 0

    def commit(producer: KafkaProducer) -> None:
        nonlocal commits
        commits += 1
        if commits != 2 or arrives:
            real(producer)
        if commits == 2:
            raise KafkaError("no answer")

    monkeypatch.setattr(KafkaProducer, "commit_transaction", commit)
    # When a source is published in three transactions
    fed = Feed(connection, Numbers(2_500)).run()
    # Then each record is there once
    assert fed == Fed(0, 2_500)
    assert published(connection) == once(2_500)


@ON_KAFKA
def test_a_refused_record_aborts_its_transaction_and_the_next_try_publishes_all(
    connection: KafkaConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a first try in which a message is too large for any broker
    real = TransactionThread._commit
    tries = 0

    def commit(self: TransactionThread, messages: Sequence[Outgoing], *rest: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries == 1:
            messages = [*messages, Outgoing(messages[0].topic, Message(b"x" * 20_000_000))]
        return real(self, messages, *rest)

    monkeypatch.setattr(TransactionThread, "_commit", commit)
    # When the source is published
    fed = Feed(connection, Numbers(10)).run()
    # Then the second try has published all, and nothing of the first is seen
    assert fed == Fed(0, 10)
    assert tries == 2
    assert published(connection) == once(10)


@ON_KAFKA
def test_a_run_that_another_one_overtakes_ends_with_an_error(connection: KafkaConnection) -> None:
    # Given a run that pauses in the middle, while another one publishes the rest
    def overtaken(number: int) -> None:
        if number == 1_500:
            assert Feed(connection, Numbers(3_000)).run() == Fed(1_000, 2_000)

    # When it goes on
    with pytest.raises(PublishError, match="another run over the same source"):
        Feed(connection, Numbers(3_000, overtaken)).run()
    # Then what it had not committed is not seen, and nothing is there twice
    assert published(connection) == once(3_000)
    assert Feed(connection, Numbers(3_000)).run() == Fed(3_000)


@ON_KAFKA
def test_a_broker_that_takes_no_transaction_is_given_up_with_advice(
    connection: KafkaConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(producer: KafkaProducer) -> None:
        raise KafkaError("refused")

    monkeypatch.setattr(KafkaProducer, "commit_transaction", refuse)

    with pytest.raises(PublishError, match=r"refused.*goes on where it stopped"):
        Feed(connection, Numbers(3), FeedOptions(recover_s=0)).run()

    assert published(connection) == Counter()


def test_a_transaction_that_hangs_is_left_behind(
    own_kafka: ApacheKafka, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a broker that freezes inside a commit and wakes up later
    connection = with_topic(own_kafka.bootstrap, topic_prefix)
    real = KafkaProducer.commit_transaction
    frozen, left, lock = list[bool](), list[Any](), Lock()

    def commit(producer: KafkaProducer) -> None:
        # A producer that was left before its commit, on a slow machine, must not freeze the broker
        # for the next one: nobody would thaw it.
        with lock:
            if not frozen and producer not in left:
                frozen.append(True)
                own_kafka.freeze()
        real(producer)

    monkeypatch.setattr(KafkaProducer, "commit_transaction", commit)
    monkeypatch.setattr("kaption.producers.feed.feed._PAUSE_S", 0.2)
    feed = Feed(connection, Numbers(10), FeedOptions(transaction_s=3))
    real_abandon = TransactionThread.abandon

    def abandon(self: TransactionThread) -> None:
        with lock:
            left.append(self._producer)
            own_kafka.thaw()
        real_abandon(self)

    monkeypatch.setattr(TransactionThread, "abandon", abandon)
    # When the source is published
    assert feed.run() == Fed(0, 10)
    # Then each record is there once, whatever became of the first commit
    assert frozen
    assert published(connection) == once(10)


def test_a_left_producer_whose_broker_died_in_the_commit_leaves_no_thread(
    own_kafka: ApacheKafka, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a broker that dies as a producer ends its transaction
    connection = with_topic(own_kafka.bootstrap, topic_prefix)
    real = KafkaProducer.commit_transaction

    def commit(producer: KafkaProducer) -> None:
        own_kafka.kill9()
        real(producer)

    monkeypatch.setattr(KafkaProducer, "commit_transaction", commit)
    transactions = BlockingTransactions(topic_prefix, deadline_s=5)
    transactions.open(
        lambda: transactional_producer(
            connection, topic_prefix, MIB, request_s=1, block_s=1, expiry_s=30
        ),
        lambda: None,
    )
    # When its caller has waited for longer than the library tries to reach the broker
    message = Outgoing(f"{topic_prefix}{RAW.name}", Message(b"value"))
    result = transactions.commit([message], {}, topic_prefix)
    # Then the producer is left behind, and the thread that waits for it ends
    assert isinstance(result, Unknown)
    name = f"{topic_prefix}-transaction"
    assert until(lambda: name not in {thread.name for thread in all_threads()}, 30)
