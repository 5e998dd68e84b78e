"""The same engine on the embedded broker, which fences nothing: completeness only."""

from kaption.workers.local import Tansu
from kaption.workers.runtime.policy import RuntimePolicy
from support.engine import POLICY, Stream, Toy, running, until


def test_every_record_has_its_outcome(tansu: Tansu, topic_prefix: str) -> None:
    stream = Stream(tansu.bootstrap, topic_prefix)
    texts: list[str | bytes] = ["text"] * 200
    texts[50], texts[60], texts[70] = "reject", "poison", b"no json"
    stream.produce(texts)
    # Tansu answers a join after half the session timeout
    policy = RuntimePolicy.model_validate(POLICY.model_dump() | {"session_timeout_s": 2.0})
    with running(Toy(), stream, policy) as worker:
        assert until(lambda: worker.records == 200)
        snapshot = worker.worker.progress.snapshot()
    assert (snapshot.emitted, snapshot.rejected, snapshot.dead) == (197, {"too_small": 1}, 2)
    assert worker.error is None
