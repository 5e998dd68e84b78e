"""The servers of a run: the user's with all settings, local ones by their address only."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from kaption.connections.settings import KafkaConnection, RedisConnection, StoreConnection
from kaption.workers.batch.journal import Journal
from kaption.workers.batch.servers import ServerAddresses, servers, store_folder
from kaption.workers.settings import Settings, UserError

PRODUCTION = Settings(
    kafka=KafkaConnection(
        bootstrap="kafka.example:9093",
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        username="us",
        password=SecretStr("hunter2"),
        ca_file="ca.pem",
        replication_factor=3,
    ),
    redis=RedisConnection(
        url=SecretStr("rediss://redis.example"), password=SecretStr("hunter3"), ca_file="ca.pem"
    ),
    store=StoreConnection(url="s3://bucket", endpoint="https://s3.example", ca_file="ca.pem"),
)
OUT = "out"
GIVEN = ServerAddresses("broker.example:9093", "rediss://cache.example", "s3://other")


def test_local_servers_do_not_get_the_users_secrets(tmp_path: Path) -> None:
    # Given settings for production / When a run starts local servers
    with servers(PRODUCTION, Journal(tmp_path / OUT, {}), ServerAddresses()) as run:
        # Then the run uses nothing but their addresses
        bootstrap, topics = run.kafka.bootstrap, run.kafka.topic_prefix
        assert run.kafka == KafkaConnection(bootstrap=bootstrap, topic_prefix=topics)
        url, keys = run.redis.url, run.redis.key_prefix
        assert run.redis == RedisConnection(url=url, key_prefix=keys)
        assert run.store == StoreConnection(url=str(store_folder(tmp_path / OUT)))
        assert "example" not in bootstrap + url.get_secret_value()
        # And the shards are at the usual place
        assert run.sink == PRODUCTION.sink


def test_the_users_servers_are_reached_with_the_settings(tmp_path: Path) -> None:
    with servers(PRODUCTION, Journal(tmp_path / OUT, {}), GIVEN) as run:
        assert (run.kafka.bootstrap, run.kafka.ca_file) == (GIVEN.kafka, "ca.pem")
        assert run.kafka.password == SecretStr("hunter2")
        assert (run.redis.url, run.redis.ca_file) == (SecretStr("rediss://cache.example"), "ca.pem")
        assert (run.store.url, run.store.endpoint) == (GIVEN.store, "https://s3.example")


def test_each_run_has_its_own_prefixes_on_the_users_servers(tmp_path: Path) -> None:
    names = []
    for out in ("one", "other"):
        with servers(PRODUCTION, Journal(tmp_path / out, {}), GIVEN) as run:
            names.append((run.kafka.topic_prefix, run.redis.key_prefix, run.sink.prefix))
    assert all(one != other for one, other in zip(*names, strict=True))
    assert all(shards.startswith("dataset/run-") for _, _, shards in names)


def test_an_address_must_fit_the_other_settings(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=r"--redis .*rediss://"),
        servers(PRODUCTION, Journal(tmp_path / OUT, {}), GIVEN._replace(redis="redis://cache")),
    ):
        pass
