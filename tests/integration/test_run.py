"""`kaption run` on the user's own servers, several times and beside other data."""

import json
import re
import shutil
from contextlib import closing
from pathlib import Path

import pytest
import redis
import skimage.data

from kaption.connections.kafka.topics import open_admin
from kaption.connections.settings import KafkaConnection
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.dataset.objects import read_rows
from kaption.objectstore.s3 import S3Store
from support.parts import S3Bucket
from support.program import kaption
from tools.servers import ApacheKafka

pytestmark = pytest.mark.integration

TEXTS = {"coffee.png": "a cup of coffee on a table", "chelsea.png": "the face of a tabby cat"}
SETTINGS = "[score]\ngood_score = -1.0\n[select]\nmin_score = -1.0\n"


def test_a_run_on_the_users_servers_can_be_repeated(
    apache_kafka: ApacheKafka, redis_url: str, s3: S3Bucket, tmp_path: Path
) -> None:
    # Given pairs, and the user's servers, with the store's keys in the settings
    for name in TEXTS:
        shutil.copy(Path(skimage.data.__file__).parent / name, tmp_path)
    source, config = tmp_path / "pairs.jsonl", tmp_path / "kaption.toml"
    source.write_text(
        "".join(json.dumps({"image": name, "text": text}) + "\n" for name, text in TEXTS.items())
    )
    config.write_text(SETTINGS)
    servers = [
        "--kafka",
        apache_kafka.bootstrap,
        "--redis",
        redis_url,
        "--store",
        f"s3://{s3.name}",
    ]
    prefixes = []
    for number in range(2):
        # When the pipeline runs over them twice
        out = tmp_path / f"out{number}"
        options = ("--config", config, "--models", "demo")
        ended = kaption("run", source, out, *options, *servers, settings=s3.environment)
        # Then all pairs come out each time
        assert ended.returncode == 0, ended.stderr
        told = re.search(r"^shards are below (\S+)/$", ended.stderr, re.MULTILINE)
        assert told is not None, ended.stderr
        prefixes.append(told[1])
    # And the shards of each run are at the place that it printed
    assert prefixes[0] != prefixes[1]
    # And nothing is left on the broker and in Redis
    names = [prefix.removeprefix("dataset/") for prefix in prefixes]
    with closing(open_admin(KafkaConnection(bootstrap=apache_kafka.bootstrap), 10)) as admin:
        left = [*admin.list_topics(), *(group["group_id"] for group in admin.list_groups())]
    assert [each for each in left if each.startswith(tuple(names))] == []
    with redis.from_url(redis_url) as client:
        assert [
            key for key in client.scan_iter() if any(name.encode() in key for name in names)
        ] == []
    objects = S3Store(s3.connection())
    for prefix in prefixes:
        manifests = read_manifests(objects, prefix)
        rows = [row for manifest in manifests for row in read_rows(objects, prefix, manifest)]
        assert {row["text"] for row in rows} == set(TEXTS.values())
