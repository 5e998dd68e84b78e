"""`kaption work all`: all stages in one process, with probes, until SIGTERM."""

import itertools
from pathlib import Path

from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.folder import FolderStore
from kaption.producers import Publisher
from kaption.schemas import TOPICS
from kaption.workers.demo.crawl import Crawl
from kaption.workers.demo.site import Site
from kaption.workers.local import Tansu
from kaption.workers.local.server import free_ports
from support.dataset_faults import chain_faults, object_faults
from support.engine import until
from support.replicas import Replica
from support.topics import environment, with_topics
from support.web import get


def test_work_all_runs_every_stage_until_a_signal(
    tansu: Tansu, topic_prefix: str, redis_url: str, tmp_path: Path
) -> None:
    # Given all stages in one process
    kafka = with_topics(tansu.bootstrap, topic_prefix, TOPICS)
    (port,) = free_ports(1)
    settings = {
        **environment(kafka),
        "KAPTION_REDIS__URL": redis_url,
        "KAPTION_STORE__URL": str(tmp_path / "store"),
        "KAPTION_HEALTH__HOST": "127.0.0.1",
        "KAPTION_HEALTH__PORT": str(port),
        "KAPTION_RUNTIME__SESSION_TIMEOUT_S": "6",
        "KAPTION_INGEST__FETCH__ALLOW_NETWORKS": '["127.0.0.0/8"]',
        "KAPTION_SINK__SPOOL": str(tmp_path),
    }
    replica = Replica("all", 0, settings, tmp_path)
    replica.start()
    try:
        # When pairs are published after it is ready
        assert until(lambda: get(port, "/readyz")[0] == 200), replica.log.read_text()[-4000:]
        crawl = Crawl(seed=5, count=30)
        with Site(crawl.pages) as site, Publisher(kafka) as publisher:
            for record in itertools.islice(crawl.records(site.url), 30):
                publisher.publish(record)
            publisher.flush()
            # Then the sink gets some of them
            assert until(lambda: _metric(port, 'kaption_held_records{stage="sink"}') > 0)
        assert get(port, "/healthz")[0] == 200
    finally:
        code = replica.stop()
    # And after SIGTERM it writes its open shards and exits with 0
    assert code == 0, replica.log.read_text()[-4000:]
    objects = FolderStore(tmp_path / "store")
    manifests = read_manifests(objects, "dataset")
    assert sum(manifest.pairs for manifest in manifests) > 0
    assert chain_faults(manifests) + object_faults(objects, "dataset", manifests) == []


def _metric(port: int, name: str) -> float:
    """The value of a metric; 0 while it is missing."""
    lines = get(port, "/metrics")[1].splitlines()
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))
